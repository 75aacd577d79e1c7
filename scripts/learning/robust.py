# SPDX-License-Identifier: BSD-2-Clause
"""How few fields of a detected packet an attacker must change to turn its score, by weir's own evaluator.

A field is something that a sender sets in one packet. Most of them are no feature of the model and so turn nothing; they are
tried nevertheless, so that the count says it. What a change of a field does to the counted features is done too: a packet from
an address that was never seen has a fresh source's counts, one to a host that nobody attacks has a quiet destination's.
"""
import io
import itertools

import numpy

from learning.rows import METHODS
from learning.traffic import run

SOURCE_FRESH = {"source_packets": 1, "source_packets_long": 1, "source_destinations": 1, "source_seconds": 1, "source_broken": 0,
                "source_age_s": 0, "source_notifies": 0}
PACKET = {"ttl": ("ttl", [1, 4, 64, 128, 255]), "length": ("payload_bytes", [90, 300, 1400]), "headers": ("header_lines", [4, 8, 12]),
          "source port": ("from_port_1900", [0, 1]), "destination port": ("to_port_1900", [0, 1])}


class Fields:
    """Changes of one field each, as functions of a table of feature rows."""

    def __init__(self, names, quiet):
        self.names, self.quiet = names, quiet
        self.changes = [(field, self.packet_change(feature, value)) for field, (feature, values) in PACKET.items()
                        for value in values if feature in names]
        self.changes += [("kind of message", self.kind_change(method)) for method in range(len(METHODS))]
        self.changes += [("source address", self.fresh_source)]
        self.elsewhere = [("destination host", self.quiet_destination), ("destination group", self.to_group)]

    def column(self, name):
        return self.names.index(name) if name in self.names else None

    def put(self, table, name, value):
        at = self.column(name)
        if at is not None:
            table[:, at] = value

    def packet_change(self, feature, value):
        def change(table):
            self.put(table, feature, value)
        return change

    def kind_change(self, method):
        def change(table):
            for number, name in enumerate(METHODS[1:], 1):
                self.put(table, f"is_{name}", float(method == number))
            if METHODS[method] == "search":
                for counted in ("source", "destination"):
                    at, unasked = self.column(f"{counted}_searches"), self.column(f"{counted}_unsolicited")
                    if at is not None:
                        table[:, at] = numpy.maximum(table[:, at], 1)
                    if unasked is not None:
                        table[:, unasked] = numpy.maximum(table[:, unasked] - 1, 0)
        return change

    def fresh_source(self, table):
        for name, value in SOURCE_FRESH.items():
            self.put(table, name, value)
        is_search = table[:, self.column("is_search")]
        self.put(table, "source_searches", is_search)
        self.put(table, "source_unsolicited", 1 - is_search)

    def quiet_destination(self, table):
        for name in self.names:
            if name.startswith(("destination_", "network_")):
                self.put(table, name, self.quiet[name])

    def to_group(self, table):
        self.put(table, "to_multicast", 1)
        for name in self.names:
            if name.startswith(("destination_", "network_")):
                self.put(table, name, self.quiet["group:" + name])


def quiet_values(names, tables):
    """Medians of what benign rows say of a host that is sent to, and of the group."""
    table = numpy.concatenate(tables)
    group = table[:, names.index("to_multicast")] > 0
    quiet = {}
    for at, name in enumerate(names):
        quiet[name] = float(numpy.nanmedian(table[~group, at])) if (~group).any() else 0.0
        quiet["group:" + name] = float(numpy.nanmedian(table[group, at])) if group.any() else 0.0
    return quiet


def scores(weir, model, names, table, path):
    """By `weir model test`, over a CSV of all features."""
    with open(path, "w", encoding="ascii") as file:
        file.write(",".join(names) + "\n")
        numpy.savetxt(file, table, fmt="%.9g", delimiter=",")
    said = run([weir, "model", "test", model, path, "--tolerance", "1e9"])
    lines = [line for line in said.splitlines() if line[:1].isdigit() and "," in line]
    return numpy.loadtxt(io.StringIO("\n".join(lines)), delimiter=",", usecols=1, ndmin=1)


def smallest_changes(bench, model, table, quiet, threshold=0.5):
    """Of detected rows of all features: how many one field, or two, turn; with the victim kept, and sent elsewhere."""
    fields = Fields(bench.names, quiet)
    path = bench.folder / "changed.csv"
    rescored = lambda rows: scores(bench.weir, model, bench.names, rows, path)
    table = table[rescored(table) >= threshold]

    def turned_by(chosen, left):
        changed = table[left].copy()
        for _, change in chosen:
            change(changed)
        turned = numpy.zeros(len(table), dtype=bool)
        if len(changed) and not numpy.array_equal(changed, table[left], equal_nan=True):
            turned[numpy.flatnonzero(left)[rescored(changed) < threshold]] = True
        return turned

    left = numpy.ones(len(table), dtype=bool)
    same, by_fields = {1: 0, 2: 0}, {}
    for count in (1, 2):
        for chosen in itertools.combinations(fields.changes, count):
            names = tuple(sorted({name for name, _ in chosen}))
            if len(names) < count or not left.any():
                continue
            turned = turned_by(chosen, left)
            same[count] += int(turned.sum())
            if turned.any():
                by_fields[names] = by_fields.get(names, 0) + int(turned.sum())
            left &= ~turned
    away = numpy.zeros(len(table), dtype=bool)
    for change in fields.elsewhere:
        away |= turned_by([change], ~away)
    return {"tried": len(table), "same victim": same, "elsewhere": {1: int(away.sum())}, "fields": by_fields}
