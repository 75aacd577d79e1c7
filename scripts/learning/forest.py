# SPDX-License-Identifier: BSD-2-Clause
"""Training: from rows to a model of at most 100 trees with 64 leaves, and its file."""
import hashlib
import json
import os
import pathlib
import re
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads that spin cost more than they save where others work too

import numpy  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from learning.rows import learned

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import export_sklearn  # noqa: E402 (beside scripts/train)

THRESHOLD = 0.5  # policy.threshold


class Sample:
    """Rows for training: drawn once from each capture, then put together for each model."""

    def __init__(self, rows, most, random):
        chosen = rows.sample(most, random)
        self.capture = rows.capture
        self.values = rows.learnable()[chosen]
        self.attack = rows.attack[chosen]
        # Of every packet, for what limits rates: when, from whom, to whom, attack or not, SSDP or not.
        self.traffic = (rows.time_s, rows.number_of(rows.source), rows.number_of(rows.destination), rows.attack, rows.ssdp)
        self.kind = numpy.array([f"{'attack' if a else 'benign'}:{k}" for a, k in zip(self.attack, rows.kind[chosen])], dtype=object)


def gather(samples):
    samples = [s for s in samples if len(s.kind)]
    values = numpy.concatenate([s.values for s in samples])
    attack = numpy.concatenate([s.attack for s in samples])
    # A device family is a kind of its own: its announcements weigh as much as another's.
    kind = numpy.concatenate([numpy.char.add(s.kind.astype(str), f"@{s.capture.kind}" if s.capture.group != "attack" else "")
                              for s in samples])
    return values, attack, kind


def weights(attack, kind, benign_weight):
    """Each kind of traffic weighs the same, and benign traffic `benign_weight` times as much as attacks: a dropped answer is
    seen by a person, a reply of a flood that came through is one of thousands."""
    weight = numpy.zeros(len(attack))
    names, place, count = numpy.unique(kind, return_inverse=True, return_counts=True)
    weight = 1.0 / count[place]
    weight[attack] *= 1.0 / weight[attack].sum()
    weight[~attack] *= benign_weight / weight[~attack].sum()
    return weight * len(weight) / weight.sum()


def fit(samples, options):
    """(fitted model, benign rows, attack rows)."""
    values, attack, kind = gather(samples)
    weight = weights(attack, kind, options.benign_weight)
    if options.boosted:
        model = HistGradientBoostingClassifier(max_iter=options.trees, max_leaf_nodes=max(options.leaves // 3, 2),
                                               max_depth=options.depth, learning_rate=0.1, min_samples_leaf=40, l2_regularization=1.0, early_stopping=False,
                                               random_state=options.seed)
    else:
        model = RandomForestClassifier(n_estimators=options.trees, max_leaf_nodes=options.leaves, max_depth=options.depth,
                                       min_weight_fraction_leaf=0.0005, random_state=options.seed, n_jobs=1)
    model.fit(values, attack, sample_weight=weight)
    return model, int((~attack).sum()), int(attack.sum())


def feature_units():
    """Names and units from the one list of features."""
    text = (ROOT / "src/detect/feature_list.h").read_text(encoding="utf-8").replace("\\\n", " ")
    return {name: unit for name, unit in re.findall(r"X\(\s*(\w+)\s*,[^\"]*?\"([^\"]*)\"", text)}


def one_column(document):
    """A binary forest's trees with the attack's share alone, at half the size; its links are those of a mean."""
    if document.get("outputs") != 2:
        return document
    for tree in document["trees"]:
        tree["values"] = [round(float(v[1] if isinstance(v, list) else v), 6) for v in pairs(tree["values"])]
    document["outputs"] = 1
    return document


def pairs(values):
    if values and isinstance(values[0], list):
        return values
    return [values[i:i + 2] for i in range(0, len(values), 2)]


def document_of(model, names, benign_rows, attack_rows, provenance=None, name="weir default"):
    units = feature_units()
    features = learned(names)
    text = export_sklearn.export(model, features, [units.get(f, "") for f in features], [benign_rows, attack_rows], name, provenance)
    document = json.loads(text)
    del document["sha256"]
    document["classes"] = [{"name": "benign", "rows": benign_rows}, {"name": "attack", "rows": attack_rows}]
    return one_column(document)


def size(document):
    """(trees, most leaves, most levels) of a model."""
    leaves = levels = 0
    for tree in document["trees"]:
        leaves = max(leaves, tree["feature"].count(-1))
        depth = {0: 0}
        for node, (left, right) in enumerate(zip(tree["left"], tree["right"])):
            if tree["feature"][node] >= 0:
                depth[left] = depth[right] = depth[node] + 1
        levels = max(levels, *depth.values())
    return len(document["trees"]), leaves, levels


def write(document, path):
    """The file, with the hash of what it holds as its last member; returns the file's own, as weir model show says it."""
    body = json.dumps(document, separators=(",", ":"), allow_nan=False)[:-1]
    digest = hashlib.sha256(body.encode()).hexdigest()
    text = (body + ',"sha256":"' + digest + '"}\n').encode("ascii")
    pathlib.Path(path).write_bytes(text)
    return hashlib.sha256(text).hexdigest()
