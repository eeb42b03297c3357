#!/usr/bin/env python3
"""tools/check_headers.py [ROOT]: each public header stands alone, and explains itself.

Every include/filigree/*.h is compiled by itself and twice in one file, as C17 and as C++17, with
each compiler that is here. The header is the manual: 60 % of its lines that are not blank
carry comment text, or the check fails. A line with code and a comment counts as comment.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import csource

COMMENT_LEAST = 60  # per cent
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
COMPILERS = [("gcc", "c", "c17"), ("clang", "c", "c17"), ("g++", "c++", "c++17"),
             ("clang++", "c++", "c++17")]


def usable(compiler, language, standard):
    """True if it is installed and has its standard library (clang++ may lack one)."""
    if not shutil.which(compiler):
        return False
    probe = subprocess.run([compiler, "-x", language, "-std=" + standard, "-fsyntax-only", "-"],
                           input="#include <stdint.h>\n", text=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    return probe.returncode == 0


def compile_alone(root, header, compiler, language, standard):
    """The compiler's complaint, or ''."""
    name = header[len("include/"):]
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "alone." + ("c" if language == "c" else "cpp"))
        with open(source, "w") as f:
            f.write('#include "%s"\n#include "%s"\nextern int alone;\n' % (name, name))
        run = subprocess.run([compiler, "-x", language, "-std=" + standard, *WARNINGS,
                              "-I", os.path.join(root, "include"), source],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return "" if run.returncode == 0 else run.stdout


def comment_share(text):
    """Per cent of the lines with any text that carry some of a comment."""
    with_comment = with_text = 0
    inside = False
    for line in text.splitlines():
        if not line.strip():
            continue
        with_text += 1
        if inside or "/*" in line or "//" in line:
            with_comment += 1
        for mark in re.findall(r"/\*|\*/", line):
            inside = mark == "/*"
    return 100.0 * with_comment / with_text if with_text else 0.0


def main(argv):
    root = csource.root_of(argv)
    findings = csource.Findings("headers")
    headers = [f for f in csource.walk(root) if f.startswith("include/") and f.endswith(".h")]
    compilers = [c for c in COMPILERS if usable(*c)]
    for header in headers:
        share = comment_share(csource.read(root, header))
        print("%s: %.0f %% of its lines carry comment (at least %d %%)" % (header, share, COMMENT_LEAST))
        if share < COMMENT_LEAST:
            findings.add(header, 1, "%.1f %% of the lines carry comment; at least %d %% must" % (
                share, COMMENT_LEAST))
        for compiler in compilers:
            complaint = compile_alone(root, header, *compiler)
            if complaint:
                findings.add(header, 1, "does not stand alone under %s:\n%s" % (
                    " ".join(compiler), complaint))
    if not compilers:
        findings.add("include", 1, "no compiler found")
    if not headers:
        findings.add("include", 1, "no public header found")
    return findings.finish("%d headers with %s" % (len(headers), ", ".join(c[0] for c in compilers)))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
