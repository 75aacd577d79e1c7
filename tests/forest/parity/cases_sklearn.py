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
    refusals(x, y, z)


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
