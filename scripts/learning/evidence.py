# SPDX-License-Identifier: BSD-2-Clause
"""The tables of scripts/evaluate, for the model's card and for the README."""
import datetime
import os

from learning import traffic
from learning.tally import Tally, rank, share, span

JUDGES = {
    "weir": "weir: rules, solicited tracking and forest",
    "shipped": "weir with the shipped model, which learned these kinds from other captures",
    "rules": "(d) weir without the forest: its rules and tables, every score 0",
    "unasked": "(e) from the WAN only what was asked for, LAN-opened flows, searches and NOTIFYs to the group",
    "rate": "(c) rate limits a second",
    "no 1900": "(b) all port 1900 from the WAN is dropped",
    "port % 100": "(a) a source port divisible by 100 blocks the source",
}


def table(head, lines):
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *("| " + " | ".join(map(str, line)) + " |" for line in lines), ""]


def percent(part, whole, digits=2):
    return f"{100 * part / whole:.{digits}f} %" if whole else "-"


class Report:
    def __init__(self, tallies, rate, turned, heaps, seconds, options):
        self.tallies, self.rate, self.turned, self.heaps, self.seconds, self.options = tallies, rate, turned, heaps, seconds, options

    def sum(self, judge, choose):
        total = Tally()
        for (group, kind, entry), tally in self.tallies[judge].items():
            if choose(group, kind, entry):
                total.merge(tally)
        return total

    def kinds(self, group):
        return list(dict.fromkeys(kind for g, kind, _ in self.tallies["weir"] if g == group))

    def of(self, kinds):
        return lambda group, kind, entry: group == "attack" and kind in kinds

    def broken(self):
        """Exit status: flows that merely use the port are never to be broken."""
        return 1 if self.sum("weir", lambda *_: True).flows_broken else 0

    # One line a judge: what it costs, and what it stops.
    def rivals(self):
        lines = []
        for judge, words in JUDGES.items():
            benign = self.sum(judge, lambda g, k, e: True)
            stopped = [percent(t.later - t.later_passed, t.later) for t in
                       (self.sum(judge, self.of(traffic.VOLUMETRIC)), self.sum(judge, self.of(traffic.SLOW)),
                        self.sum(judge, self.of(["imitation"])))]
            if judge == "rate":
                words += f": {self.rate.source} a source, {self.rate.victim} a victim (tuned on the training captures)"
            lines.append([words, percent(benign.benign_dropped, benign.benign, 3), f"{benign.sources_blocked:,} of {benign.sources:,}",
                          f"{benign.flows_broken:,} of {benign.flows:,}", *stopped])
        head = ["judge", "benign SSDP dropped", "benign sources blocked*", "other flows broken", "floods stopped", "low and slow stopped",
                "imitation stopped"]
        return table(head, lines)

    def targets(self):
        everything = self.sum("weir", lambda *_: True)
        lines = []

        def line(what, target, reached, met):
            lines.append([what, target, reached, "yes" if met else "**no**"])

        line("benign SSDP wrongly dropped", "at most 0.01 %", f"{everything.benign_dropped:,} of {everything.benign:,}: "
             + share(everything.benign_dropped, everything.benign, 4), everything.benign_dropped <= 1e-4 * everything.benign)
        line("benign sources wrongly blocked", "none", f"{everything.sources_blocked:,} of {everything.sources:,}",
             everything.sources_blocked == 0)
        line("flows on port 1900 that are no SSDP, broken", "none", f"{everything.flows_broken:,} of {everything.flows:,}",
             everything.flows_broken == 0)
        for what, kinds, target in (("floods: packets stopped after the first second", traffic.VOLUMETRIC, 0.999),
                                    ("low and slow: packets stopped", traffic.SLOW, 0.99), ("imitation: packets stopped", ["imitation"], 0.95)):
            t = self.sum("weir", self.of(kinds))
            stopped, of = (t.later - t.later_passed, t.later) if kinds is traffic.VOLUMETRIC else (t.attack - t.attack_passed, t.attack)
            line(what, f"at least {100 * target:g} %", share(stopped, of, 3), of > 0 and stopped >= target * of)
        return table(["target, on kinds that the model did not learn", "wanted", "reached (95 % interval)", "met"], lines)

    def by_kind(self):
        lines = []
        for group in ("attack", "benign", "family", "real"):
            for kind in self.kinds(group):
                t = self.sum("weir", lambda g, k, e, wanted=(group, kind): (g, k) == wanted)
                attack = [f"{t.attack_passed:,} of {t.attack:,}: {share(t.attack_passed, t.attack)}", percent(t.later_passed, t.later),
                          "/".join(str(rank(t.passed_by_source, p)) for p in (0.5, 0.99)),
                          "/".join(span(rank(t.block_times_s, p)) for p in (0.5, 0.99))] if t.attack else ["", "", "", ""]
                lines.append([f"{group}: {kind}", f"{t.benign_dropped:,} of {t.benign:,}: {share(t.benign_dropped, t.benign)}" if t.benign else "-",
                              f"{t.sources_blocked:,} of {t.sources:,}", f"{t.flows_broken:,} of {t.flows:,}", *attack])
        return table(["kind", "benign SSDP dropped", "benign sources blocked", "other flows broken", "attack packets let through",
                      "after 1 s", "let through a source: median/p99", "time to block: median/p99"], lines)

    def real(self):
        lines = []
        for entry, words in (("wan", "from the WAN"), ("lan", "from the LAN"), ("routed", "routed: TTLs lowered by 2, half of the hosts on each side")):
            t = self.sum("weir", lambda g, k, e, wanted=entry: g == "real" and e == wanted)
            rate = f"{t.sources_blocked / t.source_hours:.4f}" if t.source_hours else "-"
            lines.append([words, len(self.kinds("real")), f"{t.sources:,}", f"{t.source_hours:,.1f}",
                          f"{t.benign_dropped:,} of {t.benign:,}: {share(t.benign_dropped, t.benign, 3)}", t.sources_blocked, rate])
        return table(["entered", "captures", "sources", "source hours", "SSDP dropped", "sources blocked", "false blocks a source and hour"],
                     lines)

    def place(self):
        """Where the forest earns its place: kinds on which it and the rules alone differ."""
        lines = []
        for group in ("attack", "benign", "family", "real"):
            for kind in self.kinds(group):
                pick = lambda g, k, e, wanted=(group, kind): (g, k) == wanted
                weir, shipped, rules, unasked = (self.sum(judge, pick) for judge in ("weir", "shipped", "rules", "unasked"))
                if (weir.attack_passed, weir.benign_dropped) == (rules.attack_passed, rules.benign_dropped) == \
                        (unasked.attack_passed, unasked.benign_dropped):
                    continue
                lines.append([f"{group}: {kind}", *(percent(t.attack - t.attack_passed, t.attack) for t in (weir, shipped, rules, unasked)),
                              *(percent(t.benign_dropped, t.benign, 3) for t in (weir, shipped, rules, unasked))])
        return ["`weir` did not learn the kind; `shipped` did, from other captures (but for `notify_group`, which is never learned).", "",
                *table(["kind", "attack stopped: weir", "shipped", "(d) rules alone", "(e) unasked", "benign SSDP dropped: weir", "shipped",
                        "(d)", "(e)"], lines)]

    def robustness(self):
        found = self.turned
        lines = [f"Of {found['tried']:,} detected attack packets (the shipped model's), one changed field of a packet that still goes to its victim "
                 f"turns the score of {share(found['same victim'][1], found['tried'])}, two that of {share(found['same victim'][2], found['tried'])} "
                 f"more. If the packet may go elsewhere instead, to a host that nobody attacks or to the group, one field turns "
                 f"{share(found['elsewhere'][1], found['tried'])}: it is then one packet like a late answer. Fields that were tried: kind of message, "
                 "TTL, length, number of headers, source and destination port, source address (one never seen). Rules of the policy are left "
                 "out here, so what they would catch still counts as turned.", ""]
        worst = sorted(found["fields"].items(), key=lambda item: -item[1])[:8]
        return lines + table(["fields, the victim kept", "packets turned"], [[" + ".join(names), f"{count:,}"] for names, count in worst])

    def note(self):
        return (f"`scripts/evaluate{' --quick' if self.options.quick else ''}`, {datetime.date.today().isoformat()}, seed {self.options.seed}, "
                f"{self.heaps} heaps of kinds left out in turn, {os.cpu_count()} cores, {self.seconds / 60:.0f} minutes. "
                "\\* for rules without blocks: sources that lost a packet. Intervals are 95 %, Clopper and Pearson, packets taken as independent. "
                "Fragments after the first are never looked at: they count as let through, not in what is stopped after a second.")

    def card(self):
        lines = ["## Evidence, on kinds that the model did not learn", "", self.note(), "", *self.targets(), "### Beside simpler rules",
                 "", "Attack packets after the attack's first second; the same packets in the same order for all.", "", *self.rivals(),
                 "### Where the forest earns its place", "", *self.place(), "### Real benign captures",
                 "", "A capture of one LAN segment, entered three ways; gaps are capped at a minute.", "", *self.real(), "### Robustness", "",
                 *self.robustness(), "### By kind", "", *self.by_kind()]
        return "\n".join(lines)

    def shortfalls(self):
        """Floods that miss their target, by what they get through after their first second."""
        kinds = {kind: self.sum("weir", self.of([kind])) for kind in self.kinds("attack") if kind in traffic.VOLUMETRIC}
        short = {kind: t for kind, t in kinds.items() if t.later_passed > 0.001 * t.later}
        if not short:
            return []
        words = [f"`{kind}` {percent(t.later_passed, t.later)}" for kind, t in sorted(short.items(), key=lambda item: -item[1].later_passed / item[1].later)]
        return [f"Floods short of the target, and what they get through after their first second: {', '.join(words)}. The other "
                f"{len(kinds) - len(short)} of {len(kinds)} meet it.", ""]

    def readme(self):
        return "\n".join([self.note(), "", *self.targets(), *self.shortfalls(), *self.rivals()])
