#!/usr/bin/env python3
"""tools/check_text.py [ROOT]: rules that can be seen in the text of a file.

Layout (tabs, blanks, line, function and file length), characters that do not show, an opening
comment, unique file names, and words that a library must not contain: what prints, ends the
process, or allocates past the context; dead code; comparisons that a NaN passes; relaxed floating
point; paths of somebody's machine. Each rule has a planted violation in tests/tools.
"""
import re
import sys

import csource

C_FILES = (".c", ".h", ".inc", ".cc", ".cpp", ".cu", ".cuh")
TEXT_FILES = C_FILES + (".py", ".sh", ".awk", ".md", ".cmake", ".json", ".txt", ".in", ".yml")
TEXT_NAMES = {"run", "Makefile", "LICENSE", "NOTICE", ".clang-format", ".clang-tidy", ".gitignore"}
TABS_ALLOWED = {"Makefile"}

MAX_LINE = 100
MAX_FILE = 900
MAX_FUNCTION = 100
MAX_KERNEL = 250
KERNEL_FOLDERS = ("src/kernel/ref/", "src/kernel/cpu/", "src/kernel/cuda/")

# Zero width, direction marks and overrides, soft hyphen, fillers, tags, no-break space, C0 and C1
# controls, and U+FFFD, which stands for bytes that are no UTF-8.
INVISIBLE = re.compile(
    "[\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff"
    "\x00-\x08\x0b-\x1f\x7f-\x9f]")

# (pattern, files and folders that may, why) for the code of src/, comments and strings taken out.
CALL = r"(?<![\w.>])(?:%s)\s*\("
LIBRARY_RULES = [
    (CALL % "exit|_Exit|_exit|quick_exit|abort|raise|kill|longjmp", (), "ends the process"),
    (CALL % "printf|vprintf|fprintf|vfprintf|puts|fputs|putchar|putc|fputc|perror|fwrite", (),
     "prints; use the log callback"),
    (CALL % "signal|sigaction|setlocale|fesetround|setenv|putenv|system|popen", (),
     "changes the process"),
    # nthreads-var belongs to the calling thread; onednn.c sets it to 1 and back.
    (CALL % "omp_set_\\w+", ("src/kernel/cpu/onednn.c",), "changes OpenMP settings"),
    (CALL % "malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup|strndup",
     # The backend lies behind a table of functions: it knows no context, and keeps little.
     ("src/base/ctx.c", "src/base/os_posix.c", "src/kernel/cuda/"),
     "goes past the context's memory; use fili_alloc"),
    (CALL % "alloca|__builtin_alloca", (), "takes stack without a bound"),
    (CALL % "strcpy|strcat|sprintf|vsprintf|gets|strtok|rand|srand|random|atoi|atol|atof", (),
     "has no bound, no error or a hidden state"),
]

WORDS = "TO" "DO|FIX" "ME|X" "XX"
RELAXED = "-f" "fast-math|-O" "fast|-funsafe-" "math-optimizations|-f" "finite-math-only"
MACHINE_PATHS = r"(?<![\w.])/(?:wo" r"rk|ro" r"ot|tmp/" r"wt|home/\w+)(?:/|\b)"
OUTSIDE = r"\.\./sha" "red"
OUTSIDE_FILES = {".ci/run"}
DEAD = re.compile(r"^[ \t]*#[ \t]*if[ \t]+(?:0|false)\b", re.M)
TOLERANCE = r"\b(?:\w+_)?(?:tol|eps|thresh)\w*"
NAN_BLIND = re.compile(r"[^-<>=!]>=?\s*(?:\w+(?:\.|->))*" + TOLERANCE + r"|" +
                       TOLERANCE + r"\s*<=?[^<=]", re.I)


def is_text(path):
    name = path.rsplit("/", 1)[-1]
    return path.endswith(TEXT_FILES) or name in TEXT_NAMES or path == ".ci/run"


def check_layout(path, lines, findings):
    is_c = path.endswith(C_FILES)
    name = path.rsplit("/", 1)[-1]
    for number, line in enumerate(lines, 1):
        if "\t" in line and name not in TABS_ALLOWED:
            findings.add(path, number, "tab")
        if line != line.rstrip() and line.rstrip("\r") == line:
            findings.add(path, number, "blanks at the end of the line")
        match = INVISIBLE.search(line)
        if match:
            findings.add(path, number, "character U+%04X does not show" % ord(match.group()))
        if is_c and len(line) > MAX_LINE:
            findings.add(path, number, "line of %d columns; limit %d" % (len(line), MAX_LINE))
    if lines and lines[-1] != "":
        findings.add(path, len(lines), "no line feed at the end of the file")
    if is_c and len(lines) > MAX_FILE + 1:
        findings.add(path, 1, "file of %d lines; limit %d" % (len(lines) - 1, MAX_FILE))


def check_words(path, text, findings):
    rules = [(MACHINE_PATHS, "a path of somebody's machine")]
    if path not in OUTSIDE_FILES:
        rules.append((OUTSIDE, "a folder outside the project; tests use FIL_FIXTURES"))
    if not path.endswith(".md") and path != "LICENSE":
        rules.append((r"\b(?:%s)\b" % WORDS, "unfinished work belongs in an issue"))
        rules.append((RELAXED, "relaxed floating point breaks every test for NaN"))
    for pattern, why in rules:
        for match in re.finditer(pattern, text):
            findings.add(path, csource.line_of(text, match.start()),
                         "'%s': %s" % (match.group(), why))


def functions(code):
    """(line, lines) of every function body: a brace at file level that follows a parenthesis."""
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: re.sub(r"[^\n]", " ", m.group()), code,
                  flags=re.M)
    depth = 0
    begin = None
    linkage = []  # depths of 'extern "C" {', which is no level of its own
    for match in re.finditer(r"[{}]", code):
        if match.group() == "{":
            before = code[max(0, match.start() - 200):match.start()].rstrip()
            if re.search(r'extern\s+"[^"]*"$', before):
                linkage.append(depth)
                continue
            if depth == 0 and before.endswith(")"):
                begin = match.start()
            depth += 1
        elif linkage and depth == linkage[-1]:
            linkage.pop()
        else:
            depth -= 1
            if depth == 0 and begin is not None:
                yield (csource.line_of(code, begin),
                       code.count("\n", begin, match.start()) + 1)
                begin = None


def check_c(path, text, findings):
    first = re.match(r"\s*/\*([^\n]*)", text)
    name = path.rsplit("/", 1)[-1]
    if not first:
        findings.add(path, 1, "the file does not open with a comment")
    elif name not in first.group(1):
        findings.add(path, 1, "the opening comment does not begin with the file's name")

    code = csource.strip(text)
    for match in DEAD.finditer(code):
        findings.add(path, csource.line_of(code, match.start()), "dead code behind #if")
    limit = MAX_KERNEL if path.startswith(KERNEL_FOLDERS) else MAX_FUNCTION
    for line, length in functions(code):
        if length > limit:
            findings.add(path, line, "function of %d lines; limit %d" % (length, limit))
    if path.startswith("src/"):
        for pattern, may, why in LIBRARY_RULES:
            if path.startswith(may):
                continue
            for match in re.finditer(pattern, code):
                findings.add(path, csource.line_of(code, match.start()),
                             "'%s' %s" % (match.group().rstrip("( \t\n"), why))
    if path.startswith("tests/"):
        for match in NAN_BLIND.finditer(code):
            findings.add(path, csource.line_of(code, match.start()),
                         "a NaN passes this comparison; write !(difference <= tolerance)")


STAND_IN = re.compile(r"tests/support/cuda/(cuda\w*\.h|cublasLt\.h|kernel/cuda/ptx_\w+\.cuh)$")


def check_names(files, findings):
    """One name, one file. Public headers are a folder of their own: filigree/file.h. What stands in
    for headers of CUDA in a test bears their names."""
    seen = {}
    for path in files:
        name = path.rsplit("/", 1)[-1]
        if path.startswith("include/") or STAND_IN.match(path):
            continue
        if name in seen:
            findings.add(path, 1, "a second file of this name: %s" % seen[name])
        seen.setdefault(name, path)
        if not re.match(r"[a-z0-9_]+\.\w+$", name):
            findings.add(path, 1, "file names are lower snake case")


def main(argv):
    root = csource.root_of(argv)
    findings = csource.Findings("text")
    files = [f for f in csource.walk(root) if is_text(f)]
    for path in files:
        text = csource.read(root, path)
        check_layout(path, text.split("\n"), findings)
        check_words(path, text, findings)
        if path.endswith(C_FILES):
            check_c(path, text, findings)
    check_names([f for f in files if f.endswith(C_FILES)], findings)
    return findings.finish("%d files" % len(files))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
