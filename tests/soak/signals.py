#!/usr/bin/env python3
"""signals.py PROGRAM MODEL [--times N] [--signal TERM|KILL|INT] [--seed S]: a run is stopped at N random moments.

PROGRAM is filigree, MODEL a small model's folder (make_demo writes one). Each time a run of 12 steps
with a checkpoint after every step and a video at its end is begun, stopped by the signal at a random
moment of its length, and gone on with, stopped again one time in three, until it is done. Latents and
video must have the bits of a run that nobody stopped; a run that was stopped by TERM or INT ends with
75, 0 if it was done, or the signal's own death before it could catch it; nothing is left over but what
the man page names. Prints a line each 50 times; exit 1 with the command at the first deviation.
Standard library alone.
"""
import argparse
import hashlib
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

RUN = ["-p", "A red fox.", "-W", "96", "-H", "64", "--frames", "9", "--steps", "12", "--seed", "3",
       "--threads", "1", "-o", "v.y4m", "--save-latents", "l.safetensors", "--checkpoint-every", "1"]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fail(folder, what):
    names = ", ".join(sorted(p.name for p in folder.iterdir()))
    sys.exit(f"signals.py: {what}; the folder has {names}")


def begin(program, arguments, folder):
    return subprocess.Popen([program, *arguments], cwd=folder, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)


def stop_after(process, seconds, number):
    """Exit code of a process that gets the signal then, unless it has ended; what it said."""
    time.sleep(seconds)
    process.send_signal(number)
    said = process.communicate()[1]
    return process.returncode, said


def once(a, folder, model, length, rng):
    """One run, stopped at random moments; the number of stops."""
    first = ["generate", "-m", model, *RUN]
    again = ["generate", "--resume", "v.y4m.resume.safetensors", "--checkpoint-every", "1"]
    allowed = {0, 75, -a.number} if a.signal != "KILL" else {0, -9}
    stops = 0
    command = first
    while True:
        process = begin(a.program, command, folder)
        if stops == 0 or rng.randrange(3) == 0:
            code, said = stop_after(process, rng.uniform(0.0, length), a.number)
            stops += 1
        else:
            said = process.communicate()[1]
            code = process.returncode
            if code != 0:
                fail(folder, f"{' '.join(command)} ended with {code}: {said}")
        if code not in allowed:
            fail(folder, f"{' '.join(command)}, stopped, ended with {code}: {said}")
        if code == 0:
            return stops
        # Nothing of a run that had not saved yet: it begins again.
        command = again if (folder / again[2]).exists() else first + ["--force"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--signal", choices=["TERM", "KILL", "INT"], default="TERM")
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    a.program, model = str(a.program.resolve()), str(a.model.resolve())
    a.number = getattr(signal, "SIG" + a.signal)
    rng = random.Random(a.seed)
    stops = 0
    with tempfile.TemporaryDirectory() as top:
        whole = pathlib.Path(top, "whole")
        whole.mkdir()
        begun = time.monotonic()
        process = begin(a.program, ["generate", "-m", model, *RUN], whole)
        said = process.communicate()[1]
        length = time.monotonic() - begun
        if process.returncode != 0:
            fail(whole, f"the run that nobody stops ended with {process.returncode}: {said}")
        names = {p.name for p in whole.iterdir()}
        for i in range(a.times):
            folder = pathlib.Path(top, f"{i}")
            folder.mkdir()
            stops += once(a, folder, model, length, rng)
            for name in ("v.y4m", "l.safetensors"):
                if digest(folder / name) != digest(whole / name):
                    fail(folder, f"time {i}: {name} has other bits")
            if {p.name for p in folder.iterdir()} != names:
                fail(folder, f"time {i}: expected {', '.join(sorted(names))}")
            for p in folder.iterdir():
                p.unlink()
            folder.rmdir()
            if (i + 1) % 50 == 0:
                print(f"{i + 1} runs, {stops} stops by {a.signal}: all as it should be", flush=True)
    print(f"{a.times} runs, {stops} stops by {a.signal}, no deviation")


if __name__ == "__main__":
    main()
