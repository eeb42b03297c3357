#!/usr/bin/env python3
"""tools/check_symbols.py FOLDER: names that leave the libraries in FOLDER (build/PRESET/src).

The shared library shows fil_ names and nothing else; in the static library, where a linker mixes
all names, every global is fil_, fili_ (internal, shared between files) or filk_ (kernels). Asks nm.
"""
import os
import subprocess
import sys

# What a compiler or a sanitizer adds to any library.
TOOLCHAIN = ("_init", "_fini", "__bss_start", "_edata", "_end", "__asan_", "__ubsan_", "__tsan_",
             "__msan_", "__odr_asan", "__gcov", "__llvm", "__sanitizer", "DW.ref.", "asan.",
             "__x86.get_pc_thunk.")


def symbols(path, *options):
    """Names that nm lists as defined and global."""
    out = subprocess.run(["nm", "--defined-only", "-P", *options, path], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    names = []
    for line in out.splitlines():
        part = line.split()
        if len(part) >= 2 and not line.endswith(":") and (part[1].isupper() or part[1] in "uvw"):
            names.append(part[0].split("@")[0])
    return names


def check(path, prefixes, *options):
    names = [n for n in symbols(path, *options) if not n.startswith(TOOLCHAIN)]
    bad = [n for n in names if not n.startswith(prefixes)]
    for name in bad:
        print("%s: symbol '%s' has none of the prefixes %s" % (path, name, ", ".join(prefixes)))
    if not names:
        print("%s: exports nothing" % path)
    return len(names), len(bad) + (not names)


def main(argv):
    if len(argv) != 2:
        print("usage: check_symbols.py FOLDER", file=sys.stderr)
        return 2
    total = bad = 0
    libraries = 0
    for name in sorted(os.listdir(argv[1])):
        path = os.path.join(argv[1], name)
        if os.path.islink(path):
            continue
        if name.startswith("lib") and ".so" in name:
            n, b = check(path, ("fil_",), "-D")
        elif name.startswith("lib") and name.endswith(".a"):
            n, b = check(path, ("fil_", "fili_", "filk_"), "-g")
        else:
            continue
        libraries += 1
        total += n
        bad += b
    if libraries == 0:
        print("%s: there is no library" % argv[1])
        bad += 1
    print("symbols: %d libraries, %d names, %d findings" % (libraries, total, bad), file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
