#!/usr/bin/env python3
"""make_pth.py FILE: writes a checkpoint as torch.save would, without torch.

Three tensors: w [2, 3] F32, b [3] BF16, and t, which shares w's storage. The zip holds stored
entries; the pickle names torch's storage classes and its rebuild function. `make_pth.py --evil
FILE`: one that would run os.system when unpickled.
"""
import collections
import io
import pickle
import sys
import types
import zipfile


def named(module, name):
    """Something that pickles as the global module.name."""
    parent = sys.modules.setdefault(module, types.ModuleType(module))
    thing = type(name, (), {"__module__": module, "__qualname__": name})
    setattr(parent, name, thing)
    return thing


def rebuild(module, name):
    function = types.FunctionType((lambda: None).__code__, {}, name)
    function.__module__, function.__qualname__ = module, name
    parent = sys.modules.setdefault(module, types.ModuleType(module))
    setattr(parent, name, function)
    return function


FLOAT = named("torch", "FloatStorage")
BFLOAT16 = named("torch", "BFloat16Storage")
REBUILD = rebuild("torch._utils", "_rebuild_tensor_v2")


class Storage:
    def __init__(self, kind, key, elements):
        self.kind, self.key, self.elements = kind, key, elements


class Tensor:
    def __init__(self, storage, shape, stride):
        self.storage, self.shape, self.stride = storage, shape, stride

    def __reduce__(self):
        return REBUILD, (self.storage, 0, self.shape, self.stride, False,
                         collections.OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", obj.kind, obj.key, "cpu", obj.elements)
        return None


class Evil:
    def __reduce__(self):
        import os
        return os.system, ("touch it_ran",)


def main():
    path = sys.argv[-1]
    w, b = Storage(FLOAT, "0", 6), Storage(BFLOAT16, "1", 3)
    state = collections.OrderedDict(w=Tensor(w, (2, 3), (3, 1)), b=Tensor(b, (3,), (1,)),
                                    t=Tensor(w, (6,), (1,)))
    if "--evil" in sys.argv:
        state = {"w": Evil()}
    data = io.BytesIO()
    Pickler(data, protocol=2).dump(state)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (("data.pkl", data.getvalue()), ("data/0", bytes(24)),
                              ("data/1", bytes(6)), ("version", b"3\n")):
            archive.writestr("model/" + name, content)


main()
