# SPDX-License-Identifier: BSD-2-Clause
"""The parts of perf/run: what is measured (pairs, captures, growth) and how it is told (report)."""
import os
import pathlib
import statistics

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "release"
WEIR = BUILD / "src" / "weir"
MODEL = ROOT / "config" / "model.json"
LINE = BUILD / "perf" / "line" / "line"
STOLEN_MAX = 0.01  # of the time of a round, by the hypervisor: beyond it the round is repeated
REPEATS_MAX = 3
SHADOW = 'toml=[policy];mode="shadow"'
# What cannot be judged is not delivered either: by default it would be forwarded, and look as if it had been judged. More
# keys of [channels] may follow.
JUDGED = SHADOW + ';[fail];fail_mode="closed";[channels];overload="leave"'
REDIRECTED = JUDGED + ';transmit="redirect"'
ENVIRONMENT = dict(os.environ, WEIR=str(WEIR), WEIR_MODEL=str(MODEL))


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": values}
