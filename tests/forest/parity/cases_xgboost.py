# SPDX-License-Identifier: BSD-2-Clause
"""XGBoost's models in JSON and UBJSON, judged by XGBoost itself.

XGBoost adds float32 numbers: its own sum is off by up to (trees + 1) half steps of float32 at the size that the sum
reaches; weir's is off by less. The bound is that, a quarter of it after the sigmoid's slope, and a step of float32.
"""
import json

import numpy as np
import xgboost as xgb
from cases import rows_at, training_data


def thresholds_of(path, features):
    found = [[] for _ in range(features)]
    largest = 0.0
    learner = json.loads(path.read_text())["learner"]
    for tree in learner["gradient_booster"]["model"]["trees"]:
        leaf = np.array(tree["left_children"]) == -1
        largest += np.abs(np.array(tree["split_conditions"])[leaf]).max()
        for f, x, l in zip(tree["split_indices"], tree["split_conditions"], leaf):
            if not l:
                found[f].append(x)
    trees = len(learner["gradient_booster"]["model"]["trees"])
    return found, (trees + 1) * 2.0**-25 * (largest + abs(float(learner["learner_model_param"]["base_score"])))


def add(cases, name, booster, x, count, seed, slope):
    rows = None
    for end in ("json", "ubj"):
        path = cases.path(f"{name}.{end}")
        booster.save_model(path)
        if rows is None:
            thresholds, error = thresholds_of(path, x.shape[1])
            # XGBoost refuses infinities in its input.
            rows = rows_at(thresholds, count, x.shape[1], seed, x, inf=False)
            scores = booster.predict(xgb.DMatrix(rows))
            margins = booster.predict(xgb.DMatrix(rows), output_margin=True)
            objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
            classes = None
            if objective == "binary:logistic":
                classes = (scores > 0.5).astype(int)
                scores = np.stack([1 - scores, scores], axis=1)
            elif objective.startswith("multi:"):
                classes = margins.argmax(axis=1)
                if objective == "multi:softmax":
                    assert (classes == scores).all()
                    e = np.exp(margins - margins.max(axis=1, keepdims=True))
                    scores = e / e.sum(axis=1, keepdims=True)
        cases.add(path.name, rows, scores, classes, slope * error + 1.2e-7)


def train(parameters, x, y, rounds, seed):
    return xgb.train({"seed": seed, "nthread": 1, **parameters}, xgb.DMatrix(x, y), rounds)


def make(cases, seed):
    count = 16_000
    for rounds, depth, features, missing in ((1, 1, 3, 0), (10, 3, 8, 0), (100, 6, 24, 0.1), (30, 9, 16, 0.3), (5, 12, 128, 0)):
        x, y, _ = training_data(seed + features, 2500, features, missing=missing)
        booster = train({"objective": "binary:logistic", "max_depth": depth}, x, y, rounds, seed)
        add(cases, f"binary-{rounds}-depth-{depth}-features-{features}", booster, x, count, seed, 0.25)
    x, y, z = training_data(seed, 2500, 10, missing=0.1)
    for base in (0.03, 0.5, 0.9):
        add(cases, f"binary-base-{base}", train({"objective": "binary:logistic", "base_score": base}, x, y, 12, seed), x,
            count, seed, 0.25)
    pruned = train({"objective": "binary:logistic", "gamma": 8, "tree_method": "exact", "max_depth": 8}, x, y, 20, seed)
    add(cases, "binary-pruned", pruned, x, count, seed, 0.25)
    add(cases, "binary-hist-lossguide", train({"objective": "binary:logistic", "tree_method": "hist", "max_depth": 0,
                                               "grow_policy": "lossguide", "max_leaves": 40}, x, y, 20, seed), x, count,
        seed, 0.25)
    add(cases, "random-forest", train({"objective": "binary:logistic", "num_parallel_tree": 20, "subsample": 0.5,
                                       "learning_rate": 1}, x, y, 1, seed), x, count, seed, 0.25)
    add(cases, "regression", train({"objective": "reg:squarederror", "base_score": 0.7}, x, z, 40, seed), x, count, seed, 1)
    add(cases, "logistic-regression", train({"objective": "reg:logistic"}, x, y * 0.6 + 0.2, 20, seed), x, count, seed, 0.25)
    for classes in (3, 7):
        xm, ym, _ = training_data(seed, 2500, 10, classes, missing=0.1)
        for objective in ("multi:softprob", "multi:softmax"):
            booster = train({"objective": objective, "num_class": classes, "max_depth": 4}, xm, ym, 15, seed)
            add(cases, f"{objective[6:]}-{classes}", booster, xm, count, seed, 0.5)
    # Features with names of their own.
    named = xgb.DMatrix(x, y, feature_names=[f"feature {i}" for i in range(x.shape[1])])
    booster = xgb.train({"objective": "binary:logistic", "seed": seed, "nthread": 1}, named, 5)
    booster.save_model(cases.path("named.json"))
    booster.feature_names = None
    rows = rows_at([[]] * x.shape[1], 4000, x.shape[1], seed, x, inf=False)
    p = booster.predict(xgb.DMatrix(rows))
    cases.add("named.json", rows, np.stack([1 - p, p], axis=1), p > 0.5, 1e-6)
