#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Counts the tests in meson's test logs, one by one where a program ran many.

usage: report.py BUILD=TESTLOG.json...

A GoogleTest program tells of each of its tests on stdout; any other test counts as one. Names what was skipped, with
its cause, and what failed. The last line is 'N passed, N failed, N skipped'; the exit status is 0 where none failed
and there was something to count.
"""
import json
import pathlib
import re
import sys

LINE = re.compile(r"^\[\s+(OK|FAILED|SKIPPED)\s+\] ([\w/]+\.[\w/]+)", re.M)
RUN = re.compile(r"^\[ RUN      \] ([\w/]+\.[\w/]+)", re.M)
STATES = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
MESON = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}


def cause_of(stdout, name):
    """What stands between a test's start and its end: for a skipped one, the cause."""
    body = stdout.split(f"[ RUN      ] {name}", 1)[-1].split("[  SKIPPED ]", 1)[0]
    lines = [line.strip() for line in body.splitlines()]
    return " ".join(line for line in lines if line and not re.match(r"^\S+:\d+: Skipped$|^Skipped$", line))


def cases(test):
    """(name, state, cause) of each test that one run of a program stands for."""
    stdout = test.get("stdout", "") or ""
    state = MESON.get(test["result"], "failed")
    if not RUN.search(stdout):
        yield test["name"], state, stdout.strip().splitlines()[-1] if stdout.strip() else ""
        return
    ended = {}
    for result, name in LINE.findall(stdout):
        ended[name] = STATES[result]
    for name in dict.fromkeys(RUN.findall(stdout)):
        case = ended.get(name, "failed")  # a test that began and never ended took the program down
        yield name, case, cause_of(stdout, name) if case == "skipped" else ""
    if state == "failed" and "failed" not in ended.values() and len(ended) == len(set(RUN.findall(stdout))):
        yield test["name"], "failed", "every test passed, and the program failed: " + test["result"]


def main(arguments):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for argument in arguments:
        build, _, path = argument.partition("=")
        log = pathlib.Path(path)
        if not log.exists():
            print(f"failed: {build}: no test ran ({path} is not there)")
            counts["failed"] += 1
            continue
        for line in log.read_text(encoding="utf-8").splitlines():
            test = json.loads(line)
            for name, state, cause in cases(test):
                counts[state] += 1
                if state != "passed":
                    print(f"{state}: {build}: {test['name']}: {name}" + (f": {cause}" if cause else ""))
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return 0 if counts["failed"] == 0 and counts["passed"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
