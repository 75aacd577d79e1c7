# SPDX-License-Identifier: BSD-2-Clause
"""ONNX models, written with Debian's python3-onnx from models that scikit-learn trained.

The judge is ONNX Runtime, as scripts/onnxruntime fetches it, or in the folder that WEIR_ONNXRUNTIME names: Debian has
none, and python3-onnx 1.12 brings no reference evaluator. Without it, the judge is the walk below: the operator's page,
in numpy, float32 sums in the order of the trees. The test says which it was.
"""
import os
import pathlib
import shutil
import subprocess

import numpy as np
import onnx
from cases import F32, rows_at, training_data
from onnx import TensorProto, helper
from sklearn import ensemble as e
from sklearn import linear_model as l

FETCHED = pathlib.Path(__file__).resolve().parents[3] / "build/onnxruntime/node_modules/onnxruntime-node"
RUNTIME = os.environ.get("WEIR_ONNXRUNTIME") or (str(FETCHED) if FETCHED.exists() and shutil.which("node") else None)


def floor32(x):
    """The largest float32 that is not above x: for a float32 row, `row <= x` asks the same."""
    f = F32(x)
    return np.nextafter(f, F32(-np.inf)) if float(f) > x else f


class Builder:
    """The attribute lists of one ensemble."""

    def __init__(self):
        self.nodes = []  # tree, node, feature, value, mode, true, false, missing
        self.weights = []  # tree, node, id, weight

    def tree(self, number, t, values, rng, modes, ids=None):
        """`values`: a row a node; `ids`: the outputs of its columns."""
        for n in range(t.node_count):
            if t.children_left[n] < 0:
                self.nodes.append((number, n, 0, 0.0, "LEAF", 0, 0, 0))
                for c, v in zip(ids or range(values.shape[1]), values[n]):
                    self.weights.append((number, n, c, float(F32(v))))
                continue
            mode = modes[rng.integers(len(modes))]
            x, yes, no = floor32(t.threshold[n]), int(t.children_left[n]), int(t.children_right[n])
            if mode in ("BRANCH_LT", "BRANCH_GTE"):  # the same question with the float behind
                x = np.nextafter(x, F32(np.inf))
            if mode in ("BRANCH_GT", "BRANCH_GTE"):
                yes, no = no, yes
            self.nodes.append((number, n, int(t.feature[n]), float(x), mode, yes, no, int(rng.integers(2))))

    def attributes(self, kind):
        names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids",
                 "missing_value_tracks_true")
        result = {"nodes_" + n: list(column) for n, column in zip(names, zip(*self.nodes))}
        result.update({f"{kind}_{n}": list(column) for n, column in zip(("treeids", "nodeids", "ids", "weights"),
                                                                        zip(*self.weights))})
        return result


def sums(builder, x, outputs):
    """Float32 sums of all trees, in order, and nothing else."""
    total = np.zeros((len(x), outputs), F32)
    trees = {}
    for node in builder.nodes:
        trees.setdefault(node[0], {})[node[1]] = node
    weights = {}
    for tree, node, c, w in builder.weights:
        weights.setdefault((tree, node), []).append((c, F32(w)))
    compare = {"BRANCH_LEQ": np.less_equal, "BRANCH_LT": np.less, "BRANCH_GTE": np.greater_equal, "BRANCH_GT": np.greater}
    for number, nodes in trees.items():
        pending = [(0, np.arange(len(x)))]
        while pending:
            n, rows = pending.pop()
            _, _, feature, value, mode, yes, no, missing = nodes[n]
            if mode == "LEAF":
                for c, w in weights.get((number, n), []):
                    total[rows, c] += w
                continue
            column = x[rows, feature]
            with np.errstate(invalid="ignore"):
                true = compare[mode](column, F32(value)) | (np.isnan(column) & bool(missing))
            pending += [(yes, rows[true]), (no, rows[~true])]
    return total


def write(cases, name, op, attributes, features, extra=(), label=TensorProto.INT64, outputs=("label", "scores")):
    node = helper.make_node(op, ["rows"], list(outputs), domain="ai.onnx.ml", **attributes)
    last = extra[-1].output[0] if extra else outputs[-1]
    ends = [helper.make_tensor_value_info(last, TensorProto.FLOAT, [None, None])]
    if len(outputs) == 2:
        ends.insert(0, helper.make_tensor_value_info("label", label, [None]))
    graph = helper.make_graph([node, *extra], "graph", [helper.make_tensor_value_info("rows", TensorProto.FLOAT,
                                                                                   [None, features])], ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 1), helper.make_opsetid("", 13)])
    model.ir_version = 7
    onnx.save(model, cases.path(name))


def judged(cases, name, rows, scores, classes):
    """ONNX Runtime's answer where it is there, else what was given."""
    if not RUNTIME:
        return scores, classes
    path = cases.path(name)
    np.ascontiguousarray(rows, F32).tofile(str(path) + ".in")
    subprocess.run(["node", str(pathlib.Path(__file__).with_name("onnxruntime.js")), os.path.abspath(RUNTIME), str(path),
                    str(path) + ".in", str(len(rows)), str(rows.shape[1]), str(path)], check=True)
    scores = np.fromfile(str(path) + ".scores", F32).reshape(len(rows), -1)
    labels = pathlib.Path(str(path) + ".labels")
    if "2-all-ids" in name:
        # With weights for both of two classes, ONNX Runtime 1.14 labels by "score of the second > 0", against the
        # operator's page and its own scores: these are the judge.
        return scores, scores.argmax(axis=1)
    return scores, np.fromfile(labels, np.int32) if labels.exists() else None


def add(cases, name, rows, scores, classes, bound):
    scores, classes = judged(cases, name, rows, scores, classes)
    cases.add(name, rows, scores, classes, bound)


def sigmoid(m):
    p = 1 / (1 + np.exp(-m.astype(np.float64)))
    return np.stack([1 - p, p], axis=1)


def softmax(m):
    p = np.exp(m.astype(np.float64) - m.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def error_of(builder):
    """Half a step of float32 at the largest sum, for each addition on both sides."""
    trees = {}
    for tree, _, _, w in builder.weights:
        trees[tree] = max(trees.get(tree, 0), abs(w))
    return (len(trees) + 1) * 2.0**-24 * max(1.0, sum(trees.values())) + 1.2e-7


def make(cases, seed):
    print("judge:", "ONNX Runtime 1.14" if RUNTIME else "the operator's page in numpy; scripts/onnxruntime fetches ONNX Runtime",
          flush=True)
    count = 16_000
    rng = np.random.default_rng(seed)
    leq, mixed = ["BRANCH_LEQ"], ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE"]
    for classes, modes, trees in ((2, leq, 30), (2, mixed, 30), (2, ["BRANCH_LT"], 9), (4, leq, 20), (4, mixed, 20)):
        x, y, _ = training_data(seed + trees, 2500, 9, classes)
        model = e.RandomForestClassifier(trees, max_depth=7, random_state=seed).fit(x, y)
        for one in ((False, True) if classes == 2 else (False,)):
            b = Builder()
            for i, member in enumerate(model.estimators_):
                counts = member.tree_.value[:, 0, :]
                share = counts / counts.sum(axis=1, keepdims=True) / trees
                b.tree(i, member.tree_, share[:, 1:] if one else share, rng, modes, [1] if one else None)
            name = f"forest-{classes}-{'one-id' if one else 'all-ids'}-{modes[-1]}-{len(modes)}.onnx"
            write(cases, name, "TreeEnsembleClassifier", {**b.attributes("class"), "post_transform": "NONE",
                                                          "classlabels_int64s": list(range(classes))}, 9)
            rows = rows_at([[n[3] for n in b.nodes if n[2] == f and n[4] != "LEAF"] for f in range(9)], count, 9, seed, x)
            total = sums(b, rows, classes)
            if one:
                total[:, 0] = 1 - total[:, 1]
            add(cases, name, rows, total, total[:, 1] > 0.5 if one else total.argmax(axis=1), error_of(b))
    boosted(cases, count, seed, rng, mixed)
    linear(cases, count, seed)


def boosted(cases, count, seed, rng, modes):
    x, y, z = training_data(seed, 2500, 9)
    kinds = ((2, e.GradientBoostingClassifier, y), (3, e.GradientBoostingClassifier, training_data(seed, 2500, 9, 3)[1]),
             (0, e.GradientBoostingRegressor, z))
    for classes, kind, target in kinds:
        model = kind(n_estimators=25, random_state=seed).fit(x, target)
        b = Builder()
        width = model.estimators_.shape[1]
        for i, member in enumerate(model.estimators_.ravel()):
            b.tree(i, member.tree_, 0.1 * member.tree_.value[:, 0, :], rng, modes, [i % width])
        base = np.asarray(model._raw_predict_init(x[:1]), F32).ravel()
        if classes != 2:  # a bias of each output
            attributes = {"base_values": [float(v) for v in base]}
        else:  # runtimes differ in what they do with base values of two classes: a tree of one leaf instead
            b.nodes.append((999, 0, 0, 0.0, "LEAF", 0, 0, 0))
            b.weights.append((999, 0, 0, float(base[0])))
            attributes = {}
        name = f"boosted-{classes}.onnx"
        rows = rows_at([[n[3] for n in b.nodes if n[2] == f and n[4] != "LEAF"] for f in range(9)], count, 9, seed, x)
        margins = sums(b, rows, width)
        if classes == 0:
            write(cases, name, "TreeEnsembleRegressor", {**b.attributes("target"), **attributes, "n_targets": 1}, 9,
                  outputs=("scores",))
            add(cases, name, rows, margins + base, None, error_of(b))
            continue
        post = "LOGISTIC" if classes == 2 else "SOFTMAX"
        write(cases, name, "TreeEnsembleClassifier", {**b.attributes("class"), **attributes, "post_transform": post,
                                                      "classlabels_int64s": list(range(classes))}, 9)
        if classes == 2:
            add(cases, name, rows, sigmoid(margins[:, 0]), margins[:, 0] > 0, error_of(b))
        else:
            add(cases, name, rows, softmax(margins + base), (margins + base).argmax(axis=1), error_of(b))
    model = e.RandomForestRegressor(10, max_depth=6, random_state=seed).fit(x, z)
    b = Builder()
    for i, member in enumerate(model.estimators_):
        b.tree(i, member.tree_, member.tree_.value[:, 0, :], rng, modes)
    write(cases, "average.onnx", "TreeEnsembleRegressor", {**b.attributes("target"), "n_targets": 1,
                                                           "aggregate_function": "AVERAGE"}, 9, outputs=("scores",))
    rows = rows_at([[n[3] for n in b.nodes if n[2] == f and n[4] != "LEAF"] for f in range(9)], count, 9, seed, x)
    add(cases, "average.onnx", rows, sums(b, rows, 1) / F32(10), None, error_of(b))


def linear(cases, count, seed):
    """weir adds a linear model in float64, a runtime in float32, in an order of its own: rows whose margin is within
    that rounding of zero are left out, for no order decides them the same."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2500, 8)).astype(F32)
    z = x @ rng.normal(size=8) + 0.3 * rng.normal(size=2500)
    rows = rng.normal(size=(count, 8)).astype(F32)
    for classes in (2, 3):
        y = np.searchsorted(np.quantile(z, np.linspace(0, 1, classes + 1)[1:-1]), z)
        model = l.LogisticRegression(max_iter=300).fit(x, y)
        w, b = (np.vstack([-model.coef_, model.coef_]), np.append(-model.intercept_, model.intercept_)) if classes == 2 else (
            model.coef_, model.intercept_)
        w, b = w.astype(F32), b.astype(F32)
        margins = rows.astype(np.float64) @ w.T.astype(np.float64) + b
        two = np.sort(margins, axis=1)
        keep = two[:, -1] - two[:, -2] > 1e-5
        name = f"logistic-{classes}.onnx"
        normalizer = helper.make_node("Normalizer", ["scores"], ["normal"], domain="ai.onnx.ml", norm="L1")
        write(cases, name, "LinearClassifier", {"coefficients": w.ravel().tolist(), "intercepts": b.tolist(),
                                                "classlabels_ints": list(range(classes)), "multi_class": 1,
                                                "post_transform": "LOGISTIC" if classes == 2 else "SOFTMAX"}, 8, [normalizer])
        scores = sigmoid(margins[:, 1]) if classes == 2 else softmax(margins)
        add(cases, name, rows[keep], scores[keep], margins[keep].argmax(axis=1), 2e-6)
    model = l.Ridge().fit(x.astype(np.float64), z)
    w = model.coef_.astype(F32)
    write(cases, "ridge.onnx", "LinearRegressor", {"coefficients": w.tolist(), "intercepts": [float(F32(model.intercept_))]},
          8, outputs=("scores",))
    add(cases, "ridge.onnx", rows, rows.astype(np.float64) @ w.astype(np.float64) + F32(model.intercept_), None, 4e-6)
