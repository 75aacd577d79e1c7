# SPDX-License-Identifier: BSD-2-Clause
"""What else could stand at the edge: simple rules on the same packets, each as (dropped, sources blocked) by packet."""
import numpy

RATES_SOURCE = [2, 5, 10, 20, 40, 60, 100, 200, 400]
RATES_VICTIM = [10, 20, 50, 100, 200, 400, 1_000, 2_000, 5_000]
BENIGN_MOST = 0.001  # share of benign SSDP that a rate threshold may cost where it was tuned


def hundredth_port(rows):
    """(a) A packet whose source port is divisible by 100 blocks its source, for good."""
    hit = rows.source_port % 100 == 0
    first = {}
    for i in numpy.flatnonzero(hit):
        first.setdefault(rows.source[i], i)
    blocked = numpy.array([i >= first.get(s, len(hit)) for i, s in enumerate(rows.source)], dtype=bool)
    return blocked, blocked


def no_port_1900(rows):
    """(b) Everything from the WAN with a port 1900 is dropped."""
    dropped = rows.from_wan & ((rows.source_port == 1900) | (rows.destination_port == 1900))
    return dropped, dropped


def nth_in_second(time_s, who):
    """How many packets of `who` the second that each packet falls in has seen, this one included."""
    key = who.astype(numpy.int64) * 1_000_000 + (time_s - time_s[0]).astype(numpy.int64) if len(who) else who
    order = numpy.argsort(key, kind="stable")
    starts = numpy.flatnonzero(numpy.r_[True, key[order][1:] != key[order][:-1]]) if len(order) else order
    nth = numpy.empty(len(order), dtype=numpy.int64)
    nth[order] = numpy.arange(len(order)) - numpy.repeat(starts, numpy.diff(numpy.r_[starts, len(order)])) + 1
    return nth


class Rate:
    """(c) A packet is dropped where its source, or its destination, has had its packets of this second. Tuned on the
    training captures: the pair of limits that stops most attack packets, by the mean over kinds, among those that cost
    benign SSDP no more than `BENIGN_MOST`; where none does, the pair that costs least."""

    def __init__(self, samples):
        costs = {}
        for sample in samples:
            time_s, source, destination, attack, ssdp = sample.traffic
            if len(time_s) == 0:
                continue
            by_source, by_victim = nth_in_second(time_s, source), nth_in_second(time_s, destination)
            for s in RATES_SOURCE:
                for v in RATES_VICTIM:
                    dropped = (by_source > s) | (by_victim > v)
                    entry = costs.setdefault((s, v), [0, 0, []])
                    entry[0] += int((dropped & ~attack & ssdp).sum())
                    entry[1] += int((~attack & ssdp).sum())
                    if attack.any():
                        entry[2].append(float(dropped[attack].mean()))
        fair = {pair: e for pair, e in costs.items() if e[0] <= BENIGN_MOST * e[1]}
        if fair:
            self.source, self.victim = max(fair, key=lambda pair: numpy.mean(fair[pair][2]))
        else:
            self.source, self.victim = min(costs, key=lambda pair: costs[pair][0])

    def __call__(self, rows):
        dropped = nth_in_second(rows.time_s, rows.number_of(rows.source)) > self.source
        dropped |= nth_in_second(rows.time_s, rows.number_of(rows.destination)) > self.victim
        return dropped, dropped


def unasked(rows):
    """(e) From the WAN, only what was asked for, flows that the LAN opened, and searches and announcements to the group."""
    group = rows.value("to_multicast") > 0
    open_to_all = group & ((rows.method == 1) | (rows.method == 2))
    dropped = rows.from_wan & ~rows.solicited & ~rows.client_flow & ~open_to_all
    return dropped, dropped
