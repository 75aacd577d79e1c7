# SPDX-License-Identifier: BSD-2-Clause
"""Runs the same models on several instruction sets: cross.py PROGRAM...

Each program (cross.cpp) compares its evaluators with its plain walk, bit for bit; what all of them compute must be the
same too. Programs of 64-bit ARM run under qemu-aarch64. Exit status 77: something that Debian has is not installed.
"""
import re
import shutil
import subprocess
import sys

ARM = "forest_arm_"


def main(programs):
    qemu = shutil.which("qemu-aarch64")
    if qemu is None or not any(ARM in program for program in programs):
        print("skipped: install the Debian packages g++-aarch64-linux-gnu and qemu-user, then set the build folder up again")
        return 77
    hashes, targets = set(), set()
    for program in programs:
        command = [qemu, program] if ARM in program else [program]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        print(ran.stdout, ran.stderr, end="")
        said = re.search(r"^target (\S+): \d+ scores agree, 0 differ, hash (\S+)$", ran.stdout, re.MULTILINE)
        if ran.returncode != 0 or said is None:
            print(f"{program}: exit status {ran.returncode}")
            return 1
        targets.add(said[1])
        hashes.add(said[2])
    if len(hashes) != 1:
        print("the machines' scores differ")
        return 1
    missing = {"NEON", "SCALAR", "EMU128"} - targets
    if missing:
        print("not run:", *missing)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
