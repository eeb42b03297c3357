"""tools/csource.py: what the checks share: finding files, and reading C without a compiler.

strip() blanks comments and the insides of strings but keeps every line where it was, so that a
rule sees code only and its findings carry true line numbers. No preprocessing is done.
"""
import os
import re
import sys

SKIP_FOLDERS = {"build", ".git", "__pycache__", "golden", "corpus", "results"}


def root_of(argv):
    """The tree to check: the first argument, or the one this file lies in."""
    if len(argv) > 1:
        return os.path.abspath(argv[1])
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def walk(root):
    """Paths relative to root, sorted, with '/'. Data and what a build makes are left out."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIP_FOLDERS)
        for name in files:
            found.append(os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/"))
    return sorted(found)


def read(root, path):
    """Text of a file; bytes that are no UTF-8 become U+FFFD, which check_text.py refuses."""
    with open(os.path.join(root, path), encoding="utf-8", errors="replace", newline="") as f:
        return f.read()


_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def strip(text, keep_strings=False):
    """Comments (and the insides of strings) replaced by blanks, lines kept."""

    def blank(match):
        token = match.group()
        if token[0] in "\"'":
            if keep_strings:
                return token
            return token[0] + " " * (len(token) - 2) + token[-1]
        return re.sub(r"[^\n]", " ", token)

    return _TOKEN.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


class Findings:
    """Collects findings, prints them as compilers do, and gives the exit code."""

    def __init__(self, name):
        self.name = name
        self.lines = []

    def add(self, path, line, message):
        self.lines.append("%s:%d: %s" % (path, line, message))

    def finish(self, checked):
        for line in self.lines:
            print(line)
        print("%s: %s, %d findings" % (self.name, checked, len(self.lines)), file=sys.stderr)
        return 1 if self.lines else 0
