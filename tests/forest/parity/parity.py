#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Trains models with the trainers' own libraries, asks them for answers, and lets weir answer the same rows.

usage: parity.py PROGRAM GROUP [PART [SEED]]

GROUP is a file cases_GROUP.py beside this one; with PART, only each PARTth row is compared. Everything goes into a
folder that is removed at the end. A library that is not installed skips the test (exit status 77) and says which
Debian package has it.
"""
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
os.environ.setdefault("OMP_NUM_THREADS", "1")

from cases import Cases  # noqa: E402

PACKAGES = {"sklearn": "python3-sklearn", "xgboost": "python3-xgboost", "onnx": "python3-onnx", "numpy": "python3-numpy"}


def main(program, group, part="1", seed="1"):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))
    try:
        module = importlib.import_module("cases_" + group)
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        print(f"skipped: Python's {error.name} is missing; install the Debian package {PACKAGES[error.name]}")
        return 77
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="weir-parity-") as folder:
        cases = Cases(folder, int(part))
        module.make(cases, int(seed))
        cases.write()
        return subprocess.run([program, folder], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
