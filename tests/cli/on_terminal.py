#!/usr/bin/env python3
"""Runs a command whose stderr (and stdout, with --all) is a terminal, and shows what stays on it.

    on_terminal.py [--columns N] [--all] [--wait TEXT] [--after SECONDS] [--signal NAME]... COMMAND

Once the terminal has shown TEXT (or at once), and SECONDS later, the signals are sent, one after
the other; a command that is over by then gets none. Prints the lines that the terminal shows in the
end, and then, each on a line of its own: `exit CODE`, `drawn` if a line was redrawn in place, `wrapped`
if such a one did not fit, `colour` if there were colours, `at COLUMN` unless the cursor stands at
the beginning of an empty line. Knows of a terminal what the program uses, and fails on anything
else. Standard library of Python 3 only.
"""
import argparse
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

LIMIT = 50  # seconds


class Screen:
    def __init__(self, columns):
        self.columns, self.rows, self.row = columns, [[]], 0
        self.at = 0
        self.wrapped = self.drawn = self.colour = False

    def put(self, text):
        for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b]|\x1b", text.replace("\r\n", "\n")):
            if part == "\r":
                self.drawn |= self.at > 0
                self.wrapped |= len(self.rows[self.row]) > self.columns
                self.at = 0
            elif part == "\n":
                self.rows.append([])
                self.row += 1
                self.at = 0
            elif part == "\x1b[K":
                del self.rows[self.row][self.at:]
            elif part.startswith("\x1b[") and part.endswith("m"):
                self.colour = True
            elif part.isprintable():
                line = self.rows[self.row]
                line.extend(" " * (self.at - len(line)))
                line[self.at:self.at + 1] = [part]
                self.at += 1
            else:
                sys.exit(f"on_terminal: the program sent {part!r}")


def read_some(fd):
    try:
        return os.read(fd, 65536)
    except OSError:  # the other end is closed
        return b""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--wait", default="")
    parser.add_argument("--after", type=float, default=0.0)
    parser.add_argument("--signal", action="append", default=[])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, args.columns, 0, 0))
    process = subprocess.Popen(args.command, stderr=theirs, stdout=theirs if args.all else None,
                               env=dict(os.environ, TERM=os.environ.get("TERM_FOR_TEST", "xterm")))
    os.close(theirs)
    seen, end, due, left = b"", time.monotonic() + LIMIT, None, list(args.signal)
    while True:
        if time.monotonic() > end:
            process.kill()
            sys.exit("on_terminal: it took too long")
        if due is None and args.wait.encode() in seen:
            due = time.monotonic() + args.after
        if due is not None and time.monotonic() >= due and left and process.poll() is None:
            process.send_signal(getattr(signal, "SIG" + left.pop(0)))
            due = time.monotonic() + 0.005
        if select.select([ours], [], [], 0.005)[0]:
            piece = read_some(ours)
            if not piece:
                break
            seen += piece
        elif process.poll() is not None and not select.select([ours], [], [], 0.05)[0]:
            break
    code = process.wait()
    screen = Screen(args.columns)
    screen.put(seen.decode())
    shown = ["".join(row).rstrip() for row in screen.rows]
    for line in shown[:-1] if shown[-1] == "" else shown:
        print(line)
    print("exit", code)
    for what in ("wrapped", "drawn", "colour"):
        if getattr(screen, what):
            print(what)
    if screen.at > 0 or shown[-1] != "":
        print("at", screen.at)


if __name__ == "__main__":
    main()
