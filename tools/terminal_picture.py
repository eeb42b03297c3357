#!/usr/bin/env python3
"""Draws what a terminal shows while a command runs, as an SVG for the README.

    tools/terminal_picture.py [--columns N] [--wait TEXT] [--in DIR] OUT.svg COMMAND...

The command stands on the first line, after "$ ". A picture is taken when the terminal shows TEXT of
--wait; the command is then stopped as by Ctrl-C, and what that leaves is drawn below. Without
--wait: what is there in the end. --in: the folder that it runs in. The picture of the README, with
the program on the PATH:

    build/release/models/make_demo build/picture/demo
    tools/terminal_picture.py --columns 104 --wait 'step 13/20, 50' --in build/picture \\
        docs/terminal.svg \\
        filigree generate -m demo -p "A red fox." -W 480 -H 272 --frames 33 --steps 20 -o fox.mp4

Standard library of Python 3 only.
"""
import argparse
import fcntl
import html
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time

LIMIT = 600  # seconds
WIDTH, HEIGHT, MARGIN = 8.4, 19, 14
COLOURS = {"1": 'font-weight="bold"', "32": 'fill="#7fbf6f"'}


def rows_of(text):
    """Rows of (character, attributes), as a terminal shows them."""
    rows, at, look = [[]], 0, ""
    for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b]", text):
        if part == "\r":
            at = 0
        elif part == "\n":
            rows.append([])
        elif part == "\x1b[K":
            del rows[-1][at:]
        elif part.startswith("\x1b"):
            look = COLOURS.get(part[2:-1], "")
        else:
            rows[-1].extend([(" ", "")] * (at - len(rows[-1])))
            rows[-1][at:at + 1] = [(part, look)]
            at += 1
    return rows


def record(args):
    """Everything that the command wrote until TEXT was there, and what it wrote in the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, args.columns, 0, 0))
    process = subprocess.Popen(args.command, stdout=theirs, stderr=theirs,
                               cwd=args.folder, env=dict(os.environ, TERM="xterm"))
    os.close(theirs)
    seen, shown, end = "", "", time.monotonic() + LIMIT
    while time.monotonic() < end:
        if not select.select([ours], [], [], 0.05)[0]:
            if process.poll() is not None:
                return shown, seen
            continue
        try:
            seen += os.read(ours, 65536).decode()
        except OSError:
            process.wait()
            return shown, seen
        plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", seen)
        if args.wait and not shown and args.wait in plain:
            shown = seen
            process.send_signal(signal.SIGINT)
    process.kill()
    sys.exit("terminal_picture: it took too long")


def tspans(row):
    out, i = [], 0
    while i < len(row):
        k = i
        while k < len(row) and row[k][1] == row[i][1]:
            k += 1
        text = html.escape("".join(c for c, _ in row[i:k]))
        out.append(f"<tspan {row[i][1]}>{text}</tspan>" if row[i][1] else text)
        i = k
    return "".join(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--wait", default="")
    parser.add_argument("--in", dest="folder", default=".")
    parser.add_argument("out")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    running, ended = record(args)
    typed = " ".join(f'"{word}"' if " " in word else shlex.quote(word) for word in args.command)
    rows = [[(c, "") for c in "$ " + typed]]
    if running:
        rows += rows_of(running) + [[(c, "") for c in "^C"]]
    rows += [row for row in rows_of(ended) if row and row not in rows]
    width = int(args.columns * WIDTH + 2 * MARGIN)
    height = len(rows) * HEIGHT + 2 * MARGIN
    with open(args.out, "w", encoding="utf-8") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">\n'
                  f'<rect width="{width}" height="{height}" rx="8" fill="#1d1f23"/>\n'
                  '<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" '
                  'fill="#d8d8d2" xml:space="preserve">\n')
        for i, row in enumerate(rows):
            y = MARGIN + (i + 1) * HEIGHT - 5
            out.write(f'<text x="{MARGIN}" y="{y}">{tspans(row)}</text>\n')
        out.write("</g>\n</svg>\n")


if __name__ == "__main__":
    main()
