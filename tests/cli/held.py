#!/usr/bin/env python3
"""Runs a verb with --json, and signals it at an event, before it gets far beyond that.

    held.py [--signal NAME] KEY=VALUE... -- COMMAND...

Its standard output is a pipe of one page, of which no byte is read before it is needed: when the
first event with all those values has been read, the command is at most a page of events further, and
there it waits. So the signal (TERM) meets it for sure within what still has more than a page of
events to tell, however fast or slow the machine is. The rest is read, and the exit code is that of the
command, 128 + N where signal N ended it; 1, and a line on standard error, if there was no such event.
Standard library of Python 3 only.
"""
import fcntl
import json
import os
import signal
import subprocess
import sys

PAGE = os.sysconf("SC_PAGE_SIZE")
F_SETPIPE_SZ = 1031  # of Linux; in module fcntl from Python 3.10 on


def arguments(words):
    name = "TERM"
    if words[0] == "--signal":
        name = words[1]
        words = words[2:]
    end = words.index("--")
    wanted = dict(word.split("=", 1) for word in words[:end])
    return signal.Signals[f"SIG{name}"], wanted, words[end + 1:]


def is_wanted(line, wanted):
    event = json.loads(line)
    return all(str(event.get(key)) == value for key, value in wanted.items())


def main():
    number, wanted, command = arguments(sys.argv[1:])
    here, there = os.pipe()
    if fcntl.fcntl(there, F_SETPIPE_SZ, PAGE) != PAGE:
        print("a pipe of one page cannot be had", file=sys.stderr)
        return 77
    run = subprocess.Popen([*command, "--json"], stdin=subprocess.DEVNULL, stdout=there)
    os.close(there)
    met = False
    with open(here, "rb", buffering=0) as events:  # a line is read byte by byte
        while line := events.readline():
            if not met and is_wanted(line, wanted):
                met = True
                run.send_signal(number)
                break
        while events.read(PAGE):
            pass
    code = run.wait()
    if not met:
        print("there was no such event:", wanted, file=sys.stderr)
        return 1
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
