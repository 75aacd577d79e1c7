# SPDX-License-Identifier: BSD-2-Clause
"""Counts of right and wrong, by kind of traffic and by judge, with their intervals."""
import math

import numpy
from scipy.stats import beta


def interval(hits, of):
    """95 % interval of a share (Clopper and Pearson), packets or sources taken as independent."""
    if of == 0:
        return 0.0, 1.0
    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return float(low), float(high)


def share(hits, of, digits=2):
    """'1.20 % (0.90-1.60)'; '-' where there was nothing."""
    if of == 0:
        return "-"
    low, high = interval(hits, of)
    return f"{100 * hits / of:.{digits}f} % ({100 * low:.{digits}f}-{100 * high:.{digits}f})"


class Tally:
    """One kind of traffic before one judge."""

    def __init__(self):
        self.benign = self.benign_dropped = 0
        self.sources = self.sources_blocked = 0
        self.flows = self.flows_broken = 0
        self.attack = self.attack_passed = 0
        self.later = self.later_passed = 0  # after the attack's first second
        self.passed_by_source = []  # before its block
        self.block_times_s = []
        self.source_hours = 0.0

    def add(self, rows, dropped, blocked, said=None):
        benign = ~rows.attack
        mine = benign & rows.ssdp
        self.benign += int(mine.sum())
        self.benign_dropped += int((mine & dropped).sum())
        sources = set(rows.source[mine])
        self.sources += len(sources)
        self.sources_blocked += len(sources & set(rows.source[mine & blocked]))
        if len(rows.time_s):
            self.source_hours += len(sources) * max(float(rows.time_s[-1] - rows.time_s[0]), 1.0) / 3600
        self.add_flows(rows, dropped, benign & ~rows.ssdp)
        if rows.attack.any():
            self.add_attack(rows, dropped, said)

    def add_flows(self, rows, dropped, mine):
        """Flows that are no SSDP, by their four numbers whichever way; broken where any packet of one is dropped."""
        flows = {}
        for i in numpy.flatnonzero(mine):
            ends = sorted([(rows.source[i], rows.source_port[i]), (rows.destination[i], rows.destination_port[i])])
            flows[tuple(ends)] = flows.get(tuple(ends), False) or bool(dropped[i])
        self.flows += len(flows)
        self.flows_broken += sum(flows.values())

    def add_attack(self, rows, dropped, said):
        mine = rows.attack
        begin = rows.time_s[mine][0]
        passed = mine & ~dropped
        later = mine & (rows.time_s > begin + 1)
        self.attack += int(mine.sum())
        self.attack_passed += int(passed.sum())
        self.later += int(later.sum())
        self.later_passed += int((passed & later).sum())
        sources, place = numpy.unique(rows.source[mine], return_inverse=True)
        self.passed_by_source += numpy.bincount(place, weights=~dropped[mine], minlength=len(sources)).astype(int).tolist()
        if said is None:
            return
        attackers = set(sources)
        self.block_times_s += [(b["time_ns"] - b["first_seen_ns"]) * 1e-9 for b in said.get("block_list", [])
                               if b["source"].split("/")[0] in attackers]
        for label in said.get("labels", []):  # later fragments are in no row: they are never steered
            if label["label"] == "attack":
                self.attack += label["packets"] - int(mine.sum())
                self.attack_passed += label["forwarded"] - int(passed.sum())

    def merge(self, other):
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def rank(values, part):
    """Percentile by rank; None where there is none."""
    values = sorted(values)
    return values[min(len(values) - 1, math.ceil(part * len(values)) - 1 if part > 0 else 0)] if values else None


def span(seconds):
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"
