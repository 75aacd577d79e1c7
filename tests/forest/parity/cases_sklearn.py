# SPDX-License-Identifier: BSD-2-Clause
"""scikit-learn's models through scripts/export_sklearn.py, judged by scikit-learn itself.

float64 sums there and here: a score is the same float32 but for the rounding of weir's fixed point (2^-28 a tree's
width) and one step of float32 where that crosses a rounding edge; a class is always the same.
"""
import json

import numpy as np
import sklearn
from cases import rows_at, training_data
from export_sklearn import Refused, export
from sklearn import dummy
from sklearn import ensemble as e
from sklearn import linear_model as l
from sklearn import tree as t

# One step of float32 below 1, and half a unit of the fixed point a tree.
PROBABILITY = 6e-8 + 2e-9
# The same of a regressor's value, relative: float32's step is 2^-23 of it.
VALUE = 2.0**-23 + 2e-9


def thresholds_of(text, features):
    found = [[] for _ in range(features)]
    for tree in json.loads(text).get("trees", []):
        for f, x in zip(tree["feature"], tree["threshold"]):
            if f >= 0:
                found[f].append(float(x))
    return found


def add(cases, name, model, x, count, seed, nan=True, inf=True):
    text = export(model, class_rows=None)
    cases.path(name).write_text(text)
    rows = rows_at(thresholds_of(text, x.shape[1]), count, x.shape[1], seed, x, nan, inf)
    if x.dtype == np.float64:  # a linear model computes in the type of its rows
        rows = rows.astype(np.float64)
    # scikit-learn refuses infinities and NaN in some models before it would compare them; the comparisons are defined.
    with sklearn.config_context(assume_finite=True), np.errstate(all="ignore"):
        if hasattr(model, "classes_"):
            classes = np.searchsorted(model.classes_, model.predict(rows))
            cases.add(name, rows, model.predict_proba(rows), classes, PROBABILITY)
        else:
            cases.add(name, rows, model.predict(rows), None, VALUE)


def make(cases, seed):
    count = 25_000
    x, y, z = training_data(seed, 3000, 8)
    for depth in (1, 4, None):
        add(cases, f"tree-depth-{depth}.json", t.DecisionTreeClassifier(max_depth=depth, random_state=seed).fit(x, y), x,
            count, seed)
    add(cases, "tree-stump-of-a-leaf.json", t.DecisionTreeClassifier(max_depth=1, min_samples_split=9999).fit(x, y), x,
        2000, seed)
    add(cases, "tree-regressor.json", t.DecisionTreeRegressor(max_depth=9, random_state=seed).fit(x, z), x, count, seed)
    add(cases, "tree-weighted.json", t.DecisionTreeClassifier(class_weight={0: 0.3, 1: 0.7}, max_depth=7).fit(x, y), x,
        count, seed)
    for trees, depth, features in ((10, 3, 4), (50, 6, 24), (100, 6, 24), (40, None, 16), (7, 12, 128)):
        xf, yf, _ = training_data(seed + features, 2000, features)
        name = f"forest-{trees}-depth-{depth}-features-{features}.json"
        model = e.RandomForestClassifier(trees, max_depth=depth, random_state=seed).fit(xf, yf)
        add(cases, name, model, xf, 2 * count, seed)
    model = e.RandomForestClassifier(60, max_depth=8, random_state=seed).fit(*training_data(seed, 3000, 8, 5)[:2])
    add(cases, "forest-5-classes.json", model, x, 2 * count, seed)
    add(cases, "forest-regressor.json", e.RandomForestRegressor(50, max_depth=8, random_state=seed).fit(x, z), x, count, seed)
    add(cases, "extra-trees.json", e.ExtraTreesClassifier(50, max_depth=9, random_state=seed).fit(x, y), x, count, seed)
    # No bootstrap and few levels: the trees agree in many leaves, and sums of equal halves are ties.
    ties = e.RandomForestClassifier(8, max_depth=2, random_state=seed).fit(np.round(x[:, :2]), np.arange(len(x)) % 2)
    add(cases, "forest-ties.json", ties, np.round(x[:, :2]), count, seed)
    pure = e.RandomForestClassifier(2, random_state=seed).fit(x, y)
    add(cases, "forest-pure-leaves-and-even-votes.json", pure, x, count, seed)
    boosting(cases, x, y, z, count, seed)
    histogram(cases, count, seed)
    linear(cases, count, seed)
    thresholds(cases, seed)
    refusals(x, y, z)


def packets(seed, count):
    """Rows like those of packet headers: whole numbers, of which a tree's thresholds stand in the middle."""
    rng = np.random.default_rng(seed)
    x = np.stack([rng.integers(20, 1500, count), rng.integers(1, 256, count), rng.choice([1, 6, 17], count),
                  rng.integers(0, 65536, count), rng.integers(0, 2, count), rng.integers(0, 2, count)], axis=1)
    y = (x[:, 1] / 256 + x[:, 4] - x[:, 0] / 1500 + 0.3 * rng.normal(size=count) > 0.4).astype(int)
    return x.astype(np.float64), y


HEADERS = ["ip_total_length", "ip_ttl", "ip_protocol", "dest_port", "tcp_syn_flag", "tcp_ack_flag"]


def add_threshold(cases, name, model, rows, decision=None, probability=None):
    """The class is scikit-learn's own number against the threshold; the score has its 0.5 there."""
    rows = rows.astype(np.float32).astype(np.float64)  # what both can hold
    text = export((model, HEADERS), above_decision=decision, above_probability=probability)
    assert [f["name"] for f in json.loads(text)["features"]] == HEADERS
    cases.path(name).write_text(text)
    if probability is None:
        margin = model.decision_function(rows) - (decision or 0.0)
        classes = margin > 0
        scores = 1 / (1 + np.exp(-margin))
    else:
        p = model.predict_proba(rows)[:, 1]
        classes = p > probability
        scores = p * (1 - probability) / (p * (1 - probability) + (1 - p) * probability)
    if decision is None and probability is None:
        assert (classes == (model.predict(rows) == model.classes_[1])).all()
    assert 0 < classes.sum() < len(rows), name
    cases.add(name, rows, np.stack([1 - scores, scores], axis=1), classes.astype(int), 2 * PROBABILITY)


def thresholds(cases, seed):
    x, y = packets(seed, 3000)
    rows, _ = packets(seed + 1, 20_000)
    tree = t.DecisionTreeClassifier(max_depth=8, random_state=seed).fit(x, y)
    forest = e.RandomForestClassifier(10, max_depth=6, random_state=seed).fit(x, y)
    few = e.RandomForestClassifier(4, max_depth=2, random_state=seed).fit(np.round(x / 500), y)
    boosted = e.GradientBoostingClassifier(n_estimators=20, loss="exponential", random_state=seed).fit(x, y)
    logistic = l.LogisticRegression(max_iter=300).fit(x / 100, y)
    multinomial = l.LogisticRegression(multi_class="multinomial", max_iter=300).fit(x / 100, y)
    ridge = l.RidgeClassifier().fit(x, y)
    for probability in (0.2, 0.8):
        for name, model in (("tree", tree), ("forest", forest), ("boosted", boosted)):
            add_threshold(cases, f"threshold-{name}-{probability}.json", model, rows, probability=probability)
        add_threshold(cases, f"threshold-logistic-{probability}.json", logistic, rows / 100, probability=probability)
    # Thresholds that are some rows' very probability: above is not at.
    at = float(np.median(few.predict_proba(np.round(rows / 500))[:, 1]))
    add_threshold(cases, "threshold-at-a-probability.json", few, np.round(rows / 500), probability=at)
    add_threshold(cases, "ridge-classifier.json", ridge, rows)
    assert [json.loads(export(m)).get("probabilities", True) for m in (ridge, logistic)] == [False, True]
    for name, model, scale in (("ridge", ridge, 1), ("boosted", boosted, 1), ("logistic", logistic, 100),
                               ("multinomial", multinomial, 100)):
        at = float(np.quantile(model.decision_function(rows / scale), 0.7))
        if name in ("boosted", "multinomial"):  # the margin has twice the decision function
            text = json.loads(export(model, above_decision=at))
            assert text["threshold"] == {"on": "margin", "above": 2 * at}
            continue
        add_threshold(cases, f"threshold-{name}-decision.json", model, rows / scale, decision=at)
    for model, threshold, reason in ((ridge, {"above_probability": 0.7}, "no probabilities"),
                                     (forest, {"above_decision": 0.1}, "no decision function"),
                                     (forest, {"above_probability": 1.0}, "between 0 and 1"),
                                     (forest, {"above_probability": 0.7, "above_decision": 1}, "not on both"),
                                     (l.Ridge().fit(x, y), {"above_decision": 1}, "two classes"),
                                     (l.RidgeClassifier().fit(x, np.arange(len(x)) % 3), {}, "3 classes")):
        try:
            export(model, **threshold)
        except Refused as refused:
            assert reason in str(refused), (model, refused)
        else:
            raise AssertionError(f"{model} was exported; '{reason}' should have been refused")


def refusals(x, y, z):
    """What weir's JSON cannot hold is refused by its name."""
    random_start = dummy.DummyClassifier(strategy="stratified")
    changed_columns = e.HistGradientBoostingClassifier(max_iter=1).fit(x, y)
    changed_columns._preprocessor = object()  # as scikit-learn 1.4 and later keep it
    two = np.stack([y, 1 - y], axis=1)
    for model, reason in (
            (e.GradientBoostingClassifier(n_estimators=1, init=random_start).fit(x, y), "random numbers"),
            (e.GradientBoostingClassifier(n_estimators=1, init=t.DecisionTreeClassifier()).fit(x, y), "starts from"),
            (e.HistGradientBoostingClassifier(max_iter=3, categorical_features=[1]).fit(np.clip(x, 0, 9), x[:, 1] > 0),
             "categorical splits"),
            (changed_columns, "categorical features"),
            (e.HistGradientBoostingRegressor(loss="poisson", max_iter=1).fit(x, np.abs(z)), "loss poisson"),
            (t.DecisionTreeClassifier(max_depth=1).fit(x, two), "2 outputs"),
            (l.Ridge().fit(x[:, :2], two), "2 targets"),
            (l.LogisticRegression(multi_class="ovr").fit(x[:, :2], np.arange(len(x)) % 3), "one-vs-rest"),
            (e.IsolationForest(n_estimators=2).fit(x), "IsolationForest"), (t.DecisionTreeClassifier(), "not fitted")):
        try:
            export(model)
        except Refused as refused:
            assert reason in str(refused), (model, refused)
        else:
            raise AssertionError(f"{model} was exported; '{reason}' should have been refused")


def boosting(cases, x, y, z, count, seed):
    g = e.GradientBoostingClassifier
    add(cases, "boosted.json", g(n_estimators=60, random_state=seed).fit(x, y), x, 2 * count, seed)
    add(cases, "boosted-zero.json", g(n_estimators=20, init="zero", random_state=seed).fit(x, y), x, count, seed)
    add(cases, "boosted-exponential.json", g(n_estimators=20, loss="exponential", random_state=seed).fit(x, y), x, count, seed)
    add(cases, "boosted-4-classes.json", g(n_estimators=15, random_state=seed).fit(*training_data(seed, 2000, 8, 4)[:2]), x,
        2 * count, seed)
    add(cases, "boosted-regressor.json", e.GradientBoostingRegressor(n_estimators=60, random_state=seed).fit(x, z), x, count,
        seed)


def histogram(cases, count, seed):
    h = e.HistGradientBoostingClassifier
    for missing in (0.0, 0.2):
        x, y, z = training_data(seed + 5, 4000, 12, missing=missing)
        add(cases, f"histogram-missing-{missing}.json", h(max_iter=60, random_state=seed).fit(x, y), x, 2 * count, seed)
        add(cases, f"histogram-regressor-missing-{missing}.json",
            e.HistGradientBoostingRegressor(max_iter=40, random_state=seed).fit(x, z), x, count, seed)
    # A column where only "missing or not" tells: its threshold is infinite.
    x, y, _ = training_data(seed, 3000, 4)
    x[:, 1] = 1
    x[y == 1, 1] = np.nan
    add(cases, "histogram-missing-or-not.json", h(max_iter=10, max_depth=2, random_state=seed).fit(x, y), x, count, seed)
    x, y, _ = training_data(seed, 3000, 9, 3, missing=0.1)
    add(cases, "histogram-3-classes.json", h(max_iter=20, random_state=seed).fit(x, y), x, 2 * count, seed)


def linear(cases, count, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3000, 10))
    z = x @ rng.normal(size=10) + 0.3 * rng.normal(size=3000)
    for classes in (2, 4):
        y = np.searchsorted(np.quantile(z, np.linspace(0, 1, classes + 1)[1:-1]), z)
        for way in ("auto", "multinomial"):
            model = l.LogisticRegression(multi_class=way, max_iter=300).fit(x, y)
            add(cases, f"logistic-{way}-{classes}.json", model, x, count, seed, nan=False, inf=False)
            dense = json.loads(export(model))["weights"]
            assert json.loads(export(model.sparsify()))["weights"] == dense
    add(cases, "ridge.json", l.Ridge().fit(x, z), x, count, seed, nan=False, inf=False)
