#!/usr/bin/env python3
"""Runs commands that must be refused, and shows how.

    refusals.py [--nobody] <LINES
    refusals.py --complete

A line that begins with `=` is how the commands behind it begin; each other line is the rest of one.
\\xHH in a word is a byte. A command must end with a code of its own, say one line on standard error
and nothing on standard output, and leave every file as it was: if so, the line is printed behind its
code, and then the sentence; else `BROKEN` and what was wrong. --nobody: as a user without rights, if
the caller is root. --complete: asks the helps which options take a value, and names those that no
script refused_CLASS* has a line for. Standard library of Python 3 only.
"""
import os
import pathlib
import re
import shlex
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
VERBS = ("generate", "decode", "encode", "info", "convert")
NOBODY = 65534

OUTPUTS = {"output", "save-noise", "save-latents", "save-frames", "capture-to"}
FILES = {"FILE", "PATH", "DIR"}  # what help calls a value that is a path
HARMLESS = {"text-cache"}  # what goes wrong there is no failure


def everything():
    """Names, kinds and contents below the working directory."""
    found = {}
    for path in pathlib.Path(".").rglob("*"):
        at = path.lstat()  # a folder that was looked at with a temporary file has another time
        inside = () if path.is_dir() else (at.st_size, at.st_mtime_ns, at.st_ino)
        found[str(path)] = (at.st_mode, *inside)
    return found


def become_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def words_of(line):
    def byte(match):
        return os.fsdecode(bytes([int(match[1], 16)]))
    return [re.sub(r"\\x([0-9a-f]{2})", byte, word) for word in shlex.split(line, posix=True)]


def refuse(begin, line, lower):
    before = everything()
    run = subprocess.run(words_of(begin) + words_of(line.replace("\\x", "\\\\x")),
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         preexec_fn=lower, check=False)
    said = run.stderr.decode(errors="backslashreplace").splitlines()
    wrong = []
    if run.returncode not in range(1, 10):
        wrong.append(f"exit {run.returncode}")
    if run.stdout:
        wrong.append("words on standard output")
    if len(said) != 1 or not said[0].startswith("filigree: "):
        wrong.append(f"{len(said)} lines on standard error")
    if everything() != before:
        wrong.append("files are not as they were")
    if wrong:
        print("BROKEN", line, "--", ", ".join(wrong))
    else:
        print(run.returncode, line)
    for sentence in said:
        print("   ", sentence.removeprefix("filigree: "))


def run_lines(lower):
    begin = ""
    for line in sys.stdin.read().splitlines():
        if line.startswith("="):
            begin = line[1:].strip()
            print("=", begin)
        elif line.strip():
            refuse(begin, line, lower)


# ---- are all options there -----------------------------------------------------------------------

def options_of(verb):
    """{name: what help calls its value} of those that take one."""
    text = subprocess.run(["filigree", verb, "--help"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    return dict(re.findall(r"^  (?:-\w, |    )--([a-z0-9-]+) ([A-Z]+)  ", text, re.MULTILINE))


def lines_of(kind, verb):
    """Options in lines of the scripts of that class, for that verb."""
    found = set()
    for script in HERE.glob(f"refused_{kind}*/cmd.sh"):
        on = False
        for line in script.read_text().splitlines():
            if line.startswith("="):
                on = line[1:].split()[:2] == ["filigree", verb]
            elif on:
                found.update(re.findall(r"--([a-z0-9-]+)", line))
    return found


def complete():
    for verb in VERBS:
        options = options_of(verb)
        if not options:
            print(f"{verb}: no options found in its help")
        for name, value in options.items():
            kinds = ("range",)
            if name in OUTPUTS:
                kinds = ("directory", "read_only", "existing")
            elif value in FILES:
                kinds = ("missing", "directory")
            for kind in kinds:
                if name not in HARMLESS and name not in lines_of(kind, verb):
                    print(f"{verb} --{name}: no line in refused_{kind}*")


def main():
    if sys.argv[1:] == ["--complete"]:
        complete()
        return 0
    lower = None
    if sys.argv[1:] == ["--nobody"] and os.geteuid() == 0:
        lower = become_nobody
        try:
            subprocess.run(["filigree", "--version"], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, preexec_fn=lower, check=True)
        except (OSError, subprocess.SubprocessError):
            print("the program cannot be run as nobody", file=sys.stderr)
            return 77
    run_lines(lower)
    return 0


if __name__ == "__main__":
    sys.exit(main())
