#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The forest side by side with its peers, one thread each, in one run.

usage: compare.py BENCH OUT.json [--rounds 7] [--ort FOLDER] [--curves]

BENCH is perf/forest/forest_bench of the build. Every round runs every peer once, so that a noisy machine is noisy to all;
figures are CPU time a row, ratios are taken within a round, and their median, least and greatest are written. FOLDER holds
node_modules/onnxruntime-node; its scores must be scikit-learn's within 1e-5.
"""
import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
import numpy as np
import sklearn
import xgboost
from sklearn.ensemble import RandomForestClassifier

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "scripts"))
from export_sklearn import export  # noqa: E402

ROWS = 20_000


def data(features, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, features)).astype(np.float32)
    y = x[:, :6].sum(1) + x[:, 0] * x[:, 1] + rng.normal(size=ROWS) > 0
    return x, y.astype(int), rng.normal(size=(ROWS, features)).astype(np.float32)


def train_forest(trees, depth, features, folder):
    x, y, rows = data(features, 1)
    model = RandomForestClassifier(trees, max_depth=depth, random_state=1, n_jobs=1).fit(x, y)
    path = os.path.join(folder, "forest.json")
    with open(path, "w") as out:
        out.write(export(model, features=[f"f{i}" for i in range(features)]))
    rows_path = os.path.join(folder, "rows.f32")
    rows.tofile(rows_path)
    return model, path, rows, rows_path


def write_onnx(model, path, features):
    """The forest as ONNX's TreeEnsembleClassifier, float32 thresholds rounded as its compare needs."""
    import onnx
    from onnx import TensorProto, helper
    keys = ("treeids nodeids featureids values modes truenodeids falsenodeids hitrates "
            "missing_value_tracks_true").split()
    nodes = {"nodes_" + k: [] for k in keys}
    leaves = {"class_" + k: [] for k in "treeids nodeids ids weights".split()}
    for t, fitted in enumerate(model.estimators_):
        tree = fitted.tree_
        for n in range(tree.node_count):
            leaf = tree.children_left[n] < 0
            threshold = np.float32(tree.threshold[n])
            if float(threshold) > tree.threshold[n]:
                threshold = np.nextafter(threshold, np.float32(-np.inf))
            values = (t, n, 0 if leaf else int(tree.feature[n]), 0.0 if leaf else float(threshold),
                      "LEAF" if leaf else "BRANCH_LEQ", 0 if leaf else int(tree.children_left[n]),
                      0 if leaf else int(tree.children_right[n]), 1.0, 0)
            for key, value in zip(keys, values):
                nodes["nodes_" + key].append(value)
            if leaf:
                share = tree.value[n][0] / tree.value[n][0].sum() / len(model.estimators_)
                for c in range(2):
                    for key, value in zip(("treeids", "nodeids", "ids", "weights"), (t, n, c, float(share[c]))):
                        leaves["class_" + key].append(value)
    node = helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml",
                            classlabels_int64s=[0, 1], post_transform="NONE", **nodes, **leaves)
    graph = helper.make_graph([node], "forest", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
                              [helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
                               helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 2])])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 1), helper.make_opsetid("", 13)])
    proto.ir_version = 7
    onnx.save(proto, path)


def bench(program, model, rows, batches, ways, rounds=15):
    """{(way, batch): ns a row}, the median of some rounds: one takes a millisecond, a peer's 40 to 400."""
    out = subprocess.run([program, model, rows, ",".join(map(str, batches)), str(rounds), *ways], check=True,
                         capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    return {(line["way"], line["batch"]): line["ns"] for line in lines}, lines


def timed(call, rows, batch):
    start = time.process_time_ns()
    done = 0
    for at in range(0, len(rows) - batch + 1, batch):
        call(rows[at:at + batch])
        done += batch
    return (time.process_time_ns() - start) / done


def compare(options, folder):
    features = 24
    forest, forest_path, rows, rows_path = train_forest(100, 6, features, folder)
    x, y, _ = data(features, 1)
    boosted = xgboost.XGBClassifier(n_estimators=100, max_depth=6, tree_method="hist", n_jobs=1).fit(x, y)
    boosted_path = os.path.join(folder, "boosted.json")
    boosted.save_model(boosted_path)
    booster = boosted.get_booster()
    booster.set_param({"nthread": 1})
    flood_path = os.path.join(folder, "flood.f32")
    flood = rows[:1].repeat(ROWS, 0)
    flood[:, 0] += np.random.default_rng(3).integers(0, 3, ROWS) * np.float32(1e-3)  # three kinds of row
    flood.tofile(flood_path)
    onnx_path = os.path.join(folder, "forest.onnx")
    if options.ort:
        write_onnx(forest, onnx_path, features)
    samples = {}
    for _ in range(options.rounds):
        one = {}
        for ways, rounds in (["default"], 15), (["AVX2", "SSE4", "walk", "scalar"], 1):
            for (way, batch), ns in bench(options.bench, forest_path, rows_path, [256, 4096], ways, rounds)[0].items():
                one[f"forest, {way}, batch {batch}"] = ns
        for (way, batch), ns in bench(options.bench, boosted_path, rows_path, [256, 4096], ["default"])[0].items():
            one[f"boosted, {way}, batch {batch}"] = ns
        for (way, batch), ns in bench(options.bench, forest_path, flood_path, [256], ["default", "nogroup"])[0].items():
            one[f"flood, {way}, batch {batch}"] = ns
        one["XGBoost inplace_predict, batch 256"] = timed(booster.inplace_predict, rows, 256)
        one["XGBoost inplace_predict, batch 20000"] = timed(booster.inplace_predict, rows, ROWS)
        one["scikit-learn, batch 256"] = timed(forest.predict_proba, rows[:2560], 256)
        one["scikit-learn, batch 20000"] = timed(forest.predict_proba, rows, ROWS)
        if options.ort:
            one["ONNX Runtime, batch 256"] = float(subprocess.run(
                ["node", os.path.join(HERE, "onnx_peer.mjs"), os.path.abspath(options.ort), onnx_path, rows_path, str(features), "256"],
                check=True, capture_output=True, text=True).stdout)
        for key, value in one.items():
            samples.setdefault(key, []).append(value)
    if options.ort:
        judged = np.fromfile(rows_path + ".onnx", np.float32)
        expected = forest.predict_proba(rows[:len(judged)])[:, 1]
        assert np.abs(judged - expected).max() < 1e-5, "ONNX Runtime evaluates another model"
    return samples


GOALS = [  # ours, peer, the ratio to reach
    ("boosted, default, batch 256", "XGBoost inplace_predict, batch 256", 60),
    ("boosted, default, batch 4096", "XGBoost inplace_predict, batch 20000", 45),
    ("forest, default, batch 256", "ONNX Runtime, batch 256", 25),
    ("forest, default, batch 4096", "scikit-learn, batch 20000", 100),
    ("forest, default, batch 256", "forest, scalar, batch 256", 20),
    ("forest, AVX2, batch 256", "forest, scalar, batch 256", 8),
    ("forest, default, batch 256", "forest, walk, batch 256", None),
    ("flood, default, batch 256", "forest, default, batch 256", 1.5),
]


def ratios(samples):
    result = []
    for ours, peer, goal in GOALS:
        if peer not in samples:
            continue
        list_ = [p / o for o, p in zip(samples[ours], samples[peer])]
        result.append({"weir": ours, "peer": peer, "ratio": round(statistics.median(list_), 1),
                       "least": round(min(list_), 1), "most": round(max(list_), 1), "goal": goal})
    return result


def curves(options):
    """ns a row of the default way, around 100 trees of depth 6 on 24 features in batches of 256."""
    result = {"trees": [], "depth": [], "features": [], "batch": []}
    shapes = ([("trees", t, (t, 6, 24)) for t in (10, 30, 100, 300, 1000)] +
              [("depth", d, (100, d, 24)) for d in (3, 4, 5, 6, 7, 8, 10, 12)] +
              [("features", f, (100, 6, f)) for f in (8, 16, 32, 64, 128)])
    for axis, value, shape in shapes:
        with tempfile.TemporaryDirectory() as folder:
            _, path, _, rows_path = train_forest(*shape, folder)
            times, lines = bench(options.bench, path, rows_path, [256], ["default", "walk"], 3)
            result[axis].append({"at": value, "default": times["default", 256], "walk": times["walk", 256],
                                 "conditions": lines[0]["conditions"]})
    with tempfile.TemporaryDirectory() as folder:
        _, path, _, rows_path = train_forest(100, 6, 24, folder)
        batches = [1, 4, 16, 32, 64, 128, 256, 512, 1024, 4096]
        times, _ = bench(options.bench, path, rows_path, batches, ["default", "walk"], 3)
        for batch in batches:
            result["batch"].append({"at": batch, "default": times["default", batch], "walk": times["walk", batch]})
    return result


def machine():
    with open("/proc/cpuinfo") as file:
        cpu = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ort")
    parser.add_argument("--curves", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = compare(options, folder)
    report = {"date": datetime.date.today().isoformat(), "machine": machine(), "unit": "ns of CPU time a row, one thread",
              "peers": {"scikit-learn": sklearn.__version__, "XGBoost": xgboost.__version__},
              "rounds": options.rounds, "ratios": ratios(samples),
              "medians": {k: round(statistics.median(v), 1) for k, v in samples.items()},
              "samples": {k: [round(x, 1) for x in v] for k, v in samples.items()}}
    if options.curves:
        report["curves"] = curves(options)
    # A list of numbers on one line: the file is read by people, too.
    text = re.sub(r"\[\s+([-\d.,\s]+?)\s+\]", lambda m: "[" + ", ".join(m[1].replace(",", " ").split()) + "]",
                  json.dumps(report, indent=1))
    with open(options.out, "w") as out:
        out.write(text + "\n")
    for row in report["ratios"]:
        goal = "" if row["goal"] is None else f", goal {row['goal']}: {'met' if row['ratio'] >= row['goal'] else 'MISSED'}"
        print(f"{row['weir']} against {row['peer']}: {row['ratio']}x ({row['least']} to {row['most']}){goal}")


if __name__ == "__main__":
    main()
