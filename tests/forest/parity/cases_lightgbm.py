# SPDX-License-Identifier: BSD-2-Clause
"""LightGBM's text format, written here as LightGBM's sources describe it (gbdt_model_text.cpp, tree.cpp): Debian has
no LightGBM, so no file of LightGBM's own was read, and the judge is tree.h's NumericalDecision in numpy, float64 sums.

Trees are random: leaf-wise growth, thresholds on zero's edges (1e-35), all three kinds of missing value.
"""
import numpy as np
from cases import rows_at, training_data

ZERO = float(np.float32(1e-35))


def tree(rng, leaves, features, kinds):
    """Splits a random leaf until there are `leaves`; children below zero are ~leaf."""
    t = {"feature": [], "threshold": [], "decision": [], "left": [], "right": []}
    places = [None]  # of each leaf: (node, side)
    edges = [0.0, ZERO, -ZERO, 1.0000000180025095e-35, -1.0000000180025095e-35, 0.5, -0.5]
    while len(places) < leaves:
        leaf = int(rng.integers(len(places)))
        node = len(t["feature"])
        if places[leaf] is not None:
            t[places[leaf][1]][places[leaf][0]] = node
        f = int(rng.integers(features))
        t["feature"].append(f)
        t["threshold"].append(float(rng.choice(edges)) if rng.random() < 0.3 else float(rng.normal() * (1 if f % 2 else 3)))
        t["decision"].append(int(rng.choice(kinds)))
        t["left"].append(~leaf)
        t["right"].append(~len(places))
        places[leaf] = (node, "left")
        places.append((node, "right"))
    t["value"] = (rng.normal(size=leaves) / 10).tolist()
    return t


def predict(t, x):
    result = np.empty(len(x))
    pending = [(0 if t["feature"] else -1, np.arange(len(x)))]
    while pending:
        n, rows = pending.pop()
        if n < 0:
            result[rows] = t["value"][~n]
            continue
        v = x[rows, t["feature"][n]].astype(np.float64)
        kind, default_left = t["decision"][n] >> 2, bool(t["decision"][n] & 2)
        nan = np.isnan(v)
        v = np.where(nan & (kind != 2), 0.0, v)
        special = np.abs(v) <= ZERO if kind == 1 else nan if kind == 2 else np.zeros(len(v), bool)
        with np.errstate(invalid="ignore"):
            left = np.where(special, default_left, v <= t["threshold"][n])
        pending += [(t["left"][n], rows[left]), (t["right"][n], rows[~left])]
    return result


def text(trees, features, per_round, objective, average):
    join = lambda values: " ".join(repr(v) for v in values)
    head = ["tree", "version=v4", f"num_class={per_round}", f"num_tree_per_iteration={per_round}", "label_index=0",
            f"max_feature_idx={features - 1}", f"objective={objective}"] + ["average_output"] * average
    head += ["feature_names=" + " ".join(f"Column_{f}" for f in range(features)),
             "feature_infos=" + " ".join("[-1:1]" for _ in range(features)), "tree_sizes=" + join([0] * len(trees)), ""]
    for i, t in enumerate(trees):
        head += [f"Tree={i}", f"num_leaves={len(t['value'])}", "num_cat=0", "split_feature=" + join(t["feature"]),
                 "split_gain=" + join([1] * len(t["feature"])), "threshold=" + join(t["threshold"]),
                 "decision_type=" + join(t["decision"]), "left_child=" + join(t["left"]), "right_child=" + join(t["right"]),
                 "leaf_value=" + join(t["value"]), "leaf_weight=" + join([1] * len(t["value"])),
                 "leaf_count=" + join([1] * len(t["value"])), "internal_value=" + join([0] * len(t["feature"])),
                 "internal_weight=" + join([0] * len(t["feature"])), "internal_count=" + join([2] * len(t["feature"])),
                 "is_linear=0", "shrinkage=0.1", "", ""]
    return "\n".join([*head, "end of trees", "", "feature_importances:", "Column_0=1", "", "parameters:", "[boosting: gbdt]",
                      "end of parameters", "", "pandas_categorical:null", ""])


def make(cases, seed):
    count, features = 10_000, 6
    rng = np.random.default_rng(seed)
    x = training_data(seed, 2000, features, missing=0.05)[0]
    x[rng.random(x.shape) < 0.1] = 0.0
    small = np.array([1e-35, -1e-35, 2e-35, -2e-35, 1e-36, -1e-45], np.float32)
    for objective, width, leaves, rounds, kinds in (
            ("binary sigmoid:1", 1, 31, 40, [0, 2]), ("binary sigmoid:1", 1, 31, 40, [8, 10]),
            ("binary sigmoid:1", 1, 12, 20, [4, 6]), ("binary sigmoid:1", 1, 12, 20, [0, 2, 4, 6, 8, 10]),
            ("binary sigmoid:1", 1, 1, 2, [0]), ("multiclass num_class:3", 3, 15, 20, [8, 10]),
            ("multiclassova num_class:4 sigmoid:1", 4, 15, 10, [0, 10]), ("regression", 1, 31, 30, [10]),
            ("huber", 1, 9, 7, [0, 4, 10])):
        trees = [tree(rng, leaves, features, kinds) for _ in range(rounds * width)]
        average = objective == "huber"
        name = f"{objective.split()[0]}-{leaves}-kinds-{'-'.join(map(str, kinds))}.txt"
        cases.path(name).write_text(text(trees, features, width, objective, average))
        found = [[v for t in trees for f, v in zip(t["feature"], t["threshold"]) if f == c] for c in range(features)]
        rows = rows_at(found, count, features, seed, x)
        rows[rng.random(rows.shape) < 0.03] = small[rng.integers(len(small))]
        raw = np.zeros((count, width))
        for i, t in enumerate(trees):
            raw[:, i % width] += predict(t, rows)
        if average:
            raw /= rounds
        if objective.startswith("binary"):
            p = 1 / (1 + np.exp(-raw[:, 0]))
            cases.add(name, rows, np.stack([1 - p, p], axis=1), raw[:, 0] > 0, 1.2e-7)
        elif width > 1:
            p = 1 / (1 + np.exp(-raw))
            if objective.startswith("multiclass "):
                p = np.exp(raw - raw.max(axis=1, keepdims=True))
                p /= p.sum(axis=1, keepdims=True)
            cases.add(name, rows, p, raw.argmax(axis=1), 1.2e-7)
        else:
            cases.add(name, rows, raw, None, 2.4e-7)
