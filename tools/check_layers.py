#!/usr/bin/env python3
"""tools/check_layers.py [ROOT]: who may include whom.

base <- tensor <- io, kernel <- sparse <- nn <- wan, diffusion <- train, dist <- engine <- cli.
A folder sees itself and what stands left of it, never a neighbour of its own rank. The public
headers see each other alone; programs (cli, models, examples, python) see the public headers alone.
Also: no include cycles; system headers, foreign libraries and CUDA only in the folders that own
them; no #if on a backend or instruction set outside the places that decide about it. One reason for
all of it: a part can be understood, tested and replaced with nothing but what stands below it.
"""
import re
import sys

import csource

RANK = {"base": 0, "tensor": 1, "io": 2, "kernel": 2, "sparse": 3, "nn": 4, "wan": 5,
        "diffusion": 5, "train": 6, "dist": 6, "engine": 7}

# Programs: the folders that see include/filigree only.
PROGRAMS = ("cli/", "models/", "examples/", "python/")

C_STANDARD = {"assert.h", "complex.h", "ctype.h", "errno.h", "fenv.h", "float.h", "inttypes.h",
              "limits.h", "locale.h", "math.h", "setjmp.h", "stdalign.h", "stdarg.h",
              "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
              "string.h", "tgmath.h", "time.h", "wchar.h"}

# The public headers reach into every user's program: only what defines types.
PUBLIC_STANDARD = {"stddef.h", "stdint.h", "stdbool.h"}

# Headers from outside the C standard: pattern, where they may be included, whose they are.
OWNED = [
    (r"(cuda|cublas|cudnn|cooperative_groups|cute/|cutlass/|nv|mma\.h|curand)",
     ("src/kernel/cuda/", "tests/support/cuda/"), "CUDA"),
    (r"nccl", ("src/dist/",), "NCCL"),
    (r"mpi\.h", ("src/dist/",), "MPI"),
    (r"(dnnl|oneapi/)", ("src/kernel/",), "oneDNN"),
    (r"jansson\.h", ("src/io/",), "JSON"),
    (r"(libav|libsw|png\.h|sentencepiece)", ("src/io/",), "media and tokenizer libraries"),
    (r"omp\.h", ("src/base/pool_openmp.c", "src/kernel/cpu/onednn.c"), "OpenMP"),
    (r"cpuid\.h", ("src/base/cpu.c",), "CPU detection"),
    (r"(.mmintrin\.h|amx.*intrin\.h|arm_.*\.h)", ("src/kernel/", "src/tensor/"), "vector intrinsics"),
    (r"dlfcn\.h", ("src/base/os_posix.c", "src/kernel/cuda/"), "loading libraries"),
    (r"pthread\.h", ("src/base/os_posix.c", "src/kernel/cuda/"), "locks of the vendor's libraries"),
    (r"sanitizer/", ("src/base/",), "sanitizer interface"),
]

# Macros that ask which backend or instruction set there is, and the files that may.
BACKEND = re.compile(
    r"\b(__CUDACC__|__CUDA_ARCH__|FIL_CUDA\w*|FIL_HAVE_\w+|FIL_WITH_\w+|HAVE_\w+|USE_\w+|WITH_\w+|"
    r"__AVX\w*|__SSE\w*|__AMX\w*|__FMA__|__F16C__|__ARM_NEON\w*|__ARM_FEATURE_\w+|_OPENMP)\b")
# A .inc list of implementations is the registry.
BACKEND_FILES = re.compile(r"src/kernel/(registry\w*\.[ch]|cuda/.*)$|src/.*\.inc$")
MACHINE = re.compile(r"\b(__x86_64__|__i386__|__aarch64__|__arm__|_M_X64|_WIN32|__APPLE__)\b")
MACHINE_FILES = re.compile(
    r"src/(base/(cpu|os_posix)\.c|kernel/registry\w*\.[ch]|.*\.inc|"
    r".*_(x86|avx2|avx512|avx512bf16|amx|neon)\.[ch])$")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
CONDITION = re.compile(r"^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif)\b((?:\\\n|[^\n])*)", re.M)


def layer(path):
    """Folder name below src/, or None."""
    part = path.split("/")
    return part[1] if part[0] == "src" and len(part) > 2 else None


def is_program(path):
    return path.startswith(PROGRAMS)


def resolve(name, path, files):
    """The file of the tree that an include in quotes means, or None."""
    roots = ["src/", "include/"]
    if path.startswith("tests/"):
        roots.append("tests/")
    if is_program(path):
        roots = ["include/", path.split("/")[0] + "/", ""]
    for root in roots:
        if root + name in files:
            return root + name
    return None


def check_quoted(name, path, files):
    """(target or None, complaint or None)"""
    if "../" in name or name.startswith("./"):
        return None, 'include "%s": write the path from src/, as in "base/ctx.h"' % name
    target = resolve(name, path, files)
    if path.startswith("include/"):
        if not name.startswith("filigree/"):
            return target, 'a public header includes "%s"; only "filigree/..." is public' % name
        return target, None
    if is_program(path):
        folder = path.split("/")[0] + "/"
        if target is None or not target.startswith(("include/filigree/", folder)):
            return target, '%s sees include/filigree only, not "%s"' % (folder, name)
        return target, None
    if target is None:
        beside = path.rsplit("/", 1)[0] + "/" + name
        if beside in files and layer(path):
            return beside, 'include "%s": write the path from src/, "%s"' % (name, beside[4:])
        if layer(path):
            return None, 'include "%s": no such file in src/ or include/' % name
    return target, None


def check_upward(path, target):
    mine, theirs = layer(path), layer(target)
    if mine is None or theirs is None or mine == theirs:
        return None
    if mine not in RANK or theirs not in RANK:
        return "folder src/%s has no place in the order of layers" % (
            mine if mine not in RANK else theirs)
    if RANK[theirs] > RANK[mine]:
        return "upward include: %s stands below %s" % (mine, theirs)
    if RANK[theirs] == RANK[mine]:
        return "sideways include: %s and %s are neighbours and do not see each other" % (mine, theirs)
    return None


def check_angled(name, path):
    if path.startswith("include/"):
        return None if name in PUBLIC_STANDARD else (
            "a public header includes <%s>; allowed: %s" % (name, ", ".join(sorted(PUBLIC_STANDARD))))
    if name in C_STANDARD:
        return None
    for pattern, places, owner in OWNED:
        if re.match(pattern, name):
            if path.startswith("src/"):
                fine = path.startswith(places)
            else:
                fine = path.startswith(places) or (not is_program(path) and owner != "CUDA")
            return None if fine else "<%s> (%s) belongs to %s" % (name, owner, " or ".join(places))
    if path.startswith("src/") and path != "src/base/os_posix.c":
        return "<%s>: only src/base/os_posix.c calls the system" % name
    return None


def check_conditions(path, code, findings):
    if not path.startswith(("src/", "include/", "cli/")):
        return
    for match in CONDITION.finditer(code):
        line = csource.line_of(code, match.start())
        word = BACKEND.search(match.group(1))
        if word and not BACKEND_FILES.match(path):
            findings.add(path, line, "#if on %s: backends are chosen in the kernel registry" % word.group())
        word = MACHINE.search(match.group(1))
        if word and not MACHINE_FILES.match(path):
            findings.add(path, line, "#if on %s: machines are told apart in base/cpu.c" % word.group())


def find_cycles(graph, findings):
    """Depth-first search without recursion; reports each back edge once."""
    state = {}
    for start in sorted(graph):
        if start in state:
            continue
        state[start] = 1
        stack = [(start, iter(graph[start]))]
        while stack:
            node, edges = stack[-1]
            for target, line in edges:
                if state.get(target) == 1:
                    names = [n for n, _ in stack]
                    cycle = names[names.index(target):] + [target]
                    findings.add(node, line, "include cycle: " + " -> ".join(cycle))
                elif target not in state:
                    state[target] = 1
                    stack.append((target, iter(graph.get(target, []))))
                    break
            else:
                state[node] = 2
                stack.pop()


def check_file(path, code, files, graph, findings):
    edges = graph.setdefault(path, [])
    for match in INCLUDE.finditer(code):
        line = csource.line_of(code, match.start())
        bracket, name = match.groups()
        if bracket == "<":
            public = name.startswith("filigree/")
            target, complaint = (None, None if public else check_angled(name, path))
        else:
            target, complaint = check_quoted(name, path, files)
        if complaint is None and target is not None:
            complaint = check_upward(path, target)
        if complaint:
            findings.add(path, line, complaint)
        if target is not None:
            edges.append((target, line))
    check_conditions(path, code, findings)


def main(argv):
    root = csource.root_of(argv)
    files = set(csource.walk(root))
    findings = csource.Findings("layers")
    graph = {}
    sources = [f for f in sorted(files)
               if f.endswith((".c", ".h", ".inc", ".cc", ".cpp", ".cu", ".cuh"))]
    for path in sources:
        code = csource.strip(csource.read(root, path), keep_strings=True)
        check_file(path, code, files, graph, findings)
    find_cycles(graph, findings)
    return findings.finish("%d files" % len(sources))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
