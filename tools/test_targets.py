#!/usr/bin/env python3
"""test_targets.py BUILD [option of ctest...]: what ninja has to build for the tests that these options
choose: the files under BUILD that their commands and environments name, one a line; nothing if they
name none. What those need in turn is known to ninja. BUILD is configured. Standard library alone; 1
with a sentence if ctest fails or no test is chosen.
"""
import json
import pathlib
import re
import subprocess
import sys

LINE = re.compile(r"^(?:add_test|set_tests_properties)\((?:\[=*\[)?([^\]\s]+)(?:\]=*\])? (.*)\)$")


def words_by_test(build):
    """All that stands in quotes of each test. ctest itself does not tell the command of a test whose
    program is not built yet."""
    words = {}
    for path in build.rglob("CTestTestfile.cmake"):
        for line in path.read_text().splitlines():
            match = LINE.match(line)
            if match:
                for quoted in re.findall(r'"([^"]*)"', match.group(2)):
                    words.setdefault(match.group(1), []).extend(re.split("[;=]", quoted))
    return words


def outputs(build, tests):
    """Paths below `build`, as ninja writes them, of files that it makes."""
    known = subprocess.run(["ninja", "-C", str(build), "-t", "targets", "all"], check=True,
                           capture_output=True, text=True).stdout
    made = {line.rpartition(": ")[0] for line in known.splitlines()}
    words = words_by_test(build)
    for test in tests:
        for word in words.get(test["name"], []):
            path = pathlib.Path(word)
            if path.is_absolute() and path.is_relative_to(build):
                name = str(path.relative_to(build))
                if name in made:
                    yield name


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    listing = subprocess.run(["ctest", "--test-dir", str(build), "--show-only=json-v1", *sys.argv[2:]],
                             capture_output=True, text=True)
    if listing.returncode != 0:
        sys.exit(f"test_targets.py: ctest failed in {build}: {listing.stderr.strip()}")
    tests = json.loads(listing.stdout)["tests"]
    if not tests:
        sys.exit(f"test_targets.py: no test of {build} is chosen by {' '.join(sys.argv[2:])}")
    for name in sorted(set(outputs(build, tests))):
        print(name)


if __name__ == "__main__":
    main()
