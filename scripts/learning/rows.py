# SPDX-License-Identifier: BSD-2-Clause
"""Rows of a capture, as weir itself extracts them: what the model learns from, and what is known of every packet."""
import io
import json
import pathlib

import numpy

from learning.traffic import fail, run

# What a sender sets at will (one forged byte would clear a flood), or gains by waiting or by being asked: never learned from.
NOT_LEARNED = {
    "payload_bytes", "ttl", "header_lines", "anomalies", "asks_all", "from_port_1900", "to_port_1900", "mx_s", "is_byebye",
    "has_banner", "location_elsewhere", "source_age_s", "source_notifies", "source_bytes", "destination_bytes", "source_wanted",
    "answer_delay_s", "source_gap_s",
    # The policy decides by these itself.
    "solicited", "client_flow", "search_blind",
}
# Nor what models of packets by their headers go by: weir's group header.
OF_HEADERS = ("ip_", "tcp_", "dest_port")
METHODS = ["none", "search", "notify", "reply", "malformed"]


def feature_names(weir, folder):
    """Every feature that this weir knows, but for those of headers, in its order, from the header that weir replay writes."""
    run([weir, "synth", "--packets", "10", "--output", folder / "names.pcap"])
    (folder / "names.pcap.labels.csv").unlink()
    write_model(folder / "blind.json", blind_model())
    run([weir, "replay", folder / "names.pcap", "--model", folder / "blind.json", "--features", folder / "names.csv"])
    header = (folder / "names.csv").read_text(encoding="ascii").split("\n", 1)[0].split(",")
    return features_of(header)


def features_of(header):
    return [name for name in header[header.index("score") + 1:] if not name.startswith(OF_HEADERS)]


def learned(names):
    return [name for name in names if name not in NOT_LEARNED]


def blind_model():
    """A model that scores everything 0: what is dropped with it is dropped by rules."""
    leaf = {"feature": [-1], "threshold": [0], "left": [-1], "right": [-1], "values": [0.0]}
    return {"format": "weir-model", "version": 1, "name": "blind", "kind": "trees", "outputs": 1, "link": "identity",
            "vote": "mean", "compare": "<=", "features": [{"name": "is_search"}],
            "classes": [{"name": "benign"}, {"name": "attack"}], "trees": [leaf]}


def write_model(path, document):
    pathlib.Path(path).write_text(json.dumps(document), encoding="ascii")


class Bench:
    """Replays captures with the real program. `folder` holds its files; `model` None is the blind one."""

    def __init__(self, weir, folder):
        self.weir, self.folder = weir, folder
        self.names = feature_names(weir, folder)
        self.shadow = folder / "shadow.toml"
        self.shadow.write_text('[policy]\nmode = "shadow"\n', encoding="ascii")

    def replay(self, inputs, model, shadow=False):
        """(rows of every judged packet, what weir says of the run)."""
        table = self.folder / "rows.csv"
        mode = ["--config", self.shadow] if shadow else []
        said = run([self.weir, "replay", *inputs, *mode, "--model", model or self.folder / "blind.json", "--features", table, "--json"])
        return table, json.loads(said)

    def universe(self, capture):
        """(inputs, rows): every packet that weir looks at, none of them dropped; what rules would drop is `ruled`."""
        inputs = capture.replay_inputs(self.weir, self.folder)
        table, _ = self.replay(inputs, None, shadow=True)
        return inputs, Rows(table, self.names, capture)

    def verdicts(self, inputs, rows, model):
        """With `model`, or by rules alone: (dropped, blocked, scores) by row, and weir's own report.

        A packet that is not among the judged ones was dropped in the datapath, by its source's block."""
        table, said = self.replay(inputs, model)
        header, text = read_table(table)
        dropped = numpy.ones(len(rows.number), dtype=bool)
        blocked = numpy.ones(len(rows.number), dtype=bool)
        scores = numpy.full(len(rows.number), numpy.nan, dtype=numpy.float32)
        if text:
            pick = [header.index(c) for c in ("number", "verdict", "reason", "score")]
            cells = numpy.loadtxt(io.StringIO(text), delimiter=",", dtype=str, usecols=pick, ndmin=2)
            at = numpy.searchsorted(rows.number, cells[:, 0].astype(numpy.int64))
            dropped[at] = cells[:, 1] == "drop"
            blocked[at] = cells[:, 2] == "blocked"
            scores[at] = cells[:, 3].astype(numpy.float32)
        return Verdicts(dropped, blocked, scores, said)


class Verdicts:
    def __init__(self, dropped, blocked, scores, said):
        self.dropped, self.blocked, self.scores, self.said = dropped, blocked, scores, said


def read_table(path):
    header, _, text = pathlib.Path(path).read_text(encoding="ascii").partition("\n")
    if not header.startswith("number,"):
        fail(f"{path} is no table of weir replay --features")
    while ",," in text:
        text = text.replace(",,", ",nan,")
    return header.split(","), text.replace(",\n", ",nan\n")


class Rows:
    """Columns, by packet in order of arrival."""

    def __init__(self, path, names, capture):
        self.capture = capture
        header, text = read_table(path)
        first = header.index("score") + 1
        if features_of(header) != names:
            fail(f"{path}: features changed between two runs of weir")
        known = ["number", "time_ns", "side", "source", "destination", "source_port", "destination_port", "label", "kind",
                 "solicited", "client_flow", "reason"]
        cells = numpy.loadtxt(io.StringIO(text), delimiter=",", dtype=str, usecols=[header.index(c) for c in known], ndmin=2)
        cells = cells.reshape(-1, len(known))
        column = dict(zip(known, cells.T))
        self.number = column["number"].astype(numpy.int64)
        self.time_s = column["time_ns"].astype(numpy.int64) * 1e-9
        self.from_wan = column["side"] == "wan"
        self.source, self.destination = column["source"], column["destination"]
        self.source_port = column["source_port"].astype(numpy.int64)
        self.destination_port = column["destination_port"].astype(numpy.int64)
        self.attack = (column["label"] == "attack") if not capture.label else numpy.full(len(cells), capture.label == "attack")
        self.kind = column["kind"] if not capture.label else numpy.full(len(cells), capture.kind)
        self.solicited = column["solicited"] == "1"
        self.client_flow = column["client_flow"] == "1"
        self.ruled = column["reason"] == "shadow"
        self.left_to_forest = column["reason"] == "clean"
        self.all_values = numpy.loadtxt(io.StringIO(text), delimiter=",", dtype=numpy.float32,
                                        usecols=[header.index(name, first) for name in names], ndmin=2).reshape(len(cells), len(names))
        self.names = names
        method = numpy.zeros(len(cells), dtype=numpy.int64)
        for number, name in enumerate(METHODS[1:], 1):
            method[self.value(f"is_{name}") > 0] = number
        self.method = method
        self.ssdp = method > 0

    def value(self, name):
        return self.all_values[:, self.names.index(name)]

    @staticmethod
    def number_of(addresses):
        """Addresses as small numbers."""
        return numpy.unique(addresses, return_inverse=True)[1]

    def learnable(self):
        """Values of the features that are learned from."""
        return self.all_values[:, [self.names.index(n) for n in learned(self.names)]]

    def under_way(self, packets=16, seconds=1.0):
        """Of a capture's attack, all packets but so many at its begin, and those of its first second."""
        mine = numpy.flatnonzero(self.attack)
        late = numpy.zeros(len(self.attack), dtype=bool)
        late[mine[packets:]] = True
        return late & (self.time_s > self.time_s[mine[0]] + seconds) if len(mine) else late

    def sample(self, most, random):
        """At most `most` rows of each kind that the forest decides, the first of each source among them: there a decision
        is hardest. Of an attack none of its beginning: nothing tells that from a late answer, and a model that learns it drops those."""
        order = numpy.argsort(self.source, kind="stable")
        starts = numpy.flatnonzero(numpy.r_[True, self.source[order][1:] != self.source[order][:-1]]) if len(order) else order
        rank = numpy.empty(len(order), dtype=numpy.int64)
        rank[order] = numpy.arange(len(order)) - numpy.repeat(starts, numpy.diff(numpy.r_[starts, len(order)]))
        learnable = self.left_to_forest & (~self.attack | self.under_way())
        chosen = []
        for kind in sorted(set(self.kind)):
            for group, share in ((rank < 4, 0.5), (rank >= 4, 0.5)):
                rows = numpy.flatnonzero((self.kind == kind) & group & learnable)
                chosen.append(random.permutation(rows)[:int(most * share)])
        return numpy.concatenate(chosen) if chosen else numpy.array([], dtype=int)
