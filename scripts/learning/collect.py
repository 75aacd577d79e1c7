# SPDX-License-Identifier: BSD-2-Clause
"""The training set: rows of every training capture, drawn once; and the processes that replay captures side by side."""
import argparse
import multiprocessing
import os
import pathlib
import sys

import numpy

from learning import traffic
from learning.forest import ROOT, Sample
from learning.rows import Bench


def training_captures(options, folder):
    given = [traffic.Capture(path.stem, "given", path.stem, files=(("", path),), label=label)
             for label, paths in (("benign", options.benign), ("attack", options.attack)) for path in paths]
    real = [c for c in traffic.real(options.data, folder) if c.licensed]
    if options.quick:
        real = real[::7]
    return [*traffic.synthetic(options.quick, "train"), *real, *given]


class Hands:
    """A process for each CPU, with a bench and a folder of its own; what they are given and give back comes in order."""

    def __init__(self, bench, work):
        Hands.work = work  # a function of (bench, job), which the processes inherit
        self.pool = multiprocessing.get_context("fork").Pool(os.cpu_count(), Hands.begin, (bench.weir, bench.folder))

    @staticmethod
    def begin(weir, folder):
        own = folder / str(os.getpid())
        own.mkdir()
        Hands.bench = Bench(weir, own)

    @staticmethod
    def do(job):
        return Hands.work(Hands.bench, job)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.terminate()

    def map(self, jobs):
        return self.pool.imap(Hands.do, jobs)


def collect(options, bench):
    """[Sample] of all training captures."""
    random = numpy.random.RandomState(options.seed)
    captures, samples = training_captures(options, bench.folder), []
    with Hands(bench, lambda own, capture: own.universe(capture)[1]) as hands:
        for number, rows in enumerate(hands.map(captures), 1):
            progress(f"reading {number}/{len(captures)} {rows.capture.name}")
            samples.append(Sample(rows, options.rows, random))
    progress("")
    return samples


def progress(text):
    if sys.stderr.isatty() or not text:
        print(f"\r{text:70}", end="" if text else "\r", file=sys.stderr, flush=True)


def add_options(parser):
    """Options that scripts/train and scripts/evaluate share: the same recipe makes the model and the models of the folds."""
    parser.add_argument("--benign", nargs="+", action="extend", type=pathlib.Path, default=[], metavar="CAPTURE",
                        help="captures of benign traffic of your own")
    parser.add_argument("--attack", nargs="+", action="extend", type=pathlib.Path, default=[], metavar="CAPTURE",
                        help="captures of attack traffic only")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data", help="real captures with a README.md")
    parser.add_argument("--weir", type=pathlib.Path, default=None, help="the program (default: build/src/weir or build/release/src/weir)")
    parser.add_argument("--trees", type=int, default=60)
    parser.add_argument("--leaves", type=int, default=48, help="at most, a tree; boosted trees get a third")
    parser.add_argument("--depth", type=int, default=6, help="at most; up to 8 runs fastest (src/forest)")
    parser.add_argument("--rows", type=int, default=350, help="at most, of each kind and capture")
    parser.add_argument("--benign-weight", type=float, default=100, help="of all benign rows, where all attack rows weigh 1")
    parser.add_argument("--boosted", action=argparse.BooleanOptionalAction, default=None, help="boosted trees instead of a random forest")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter captures: to see that it works")


def check(options):
    if options.weir is None:
        found = [p for p in (ROOT / "build/src/weir", ROOT / "build/release/src/weir") if os.access(p, os.X_OK)]
        options.weir = found[0] if found else ROOT / "build/src/weir"
    if not os.access(options.weir, os.X_OK):
        traffic.fail(f"{options.weir} is not there: build weir first (scripts/test does), or name it with --weir")
    for path in options.benign + options.attack:
        if not path.is_file():
            traffic.fail(f"{path}: no such capture")
    if not 1 <= options.trees <= 100 or not 2 <= options.leaves <= 64:
        traffic.fail("1 to 100 trees with 2 to 64 leaves are possible")
