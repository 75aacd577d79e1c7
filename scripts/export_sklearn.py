#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes a trained scikit-learn model (1.2 or later) as weir's JSON model, exactly.

usage: export_sklearn.py MODEL.joblib MODEL.json [--features NAME,NAME...] [--units UNIT,...]
                         [--above-probability P | --above-decision D]
                         [--class-rows N,N...] [--name NAME] [--set KEY=VALUE]...

Reads decision trees, random forests, extra trees, gradient boosting and histogram gradient boosting (classifiers and
regressors), logistic regression, the ridge classifier, and ridge, lasso or plain linear regression; from joblib's file or
a pickle, of the model or of a pair (model, feature names). What cannot be kept exactly is refused.

A binary classifier's last class is a row's where predict says so: where its probability is above one half, or the
decision function of a linear model above 0. --above-probability and --above-decision put another number in their place;
it is kept in the model file, and everything that judges by the file goes by it.

Rows are float32 in weir, as in scikit-learn's own trees; histogram gradient boosting there reads float64, so train it on
values that float32 holds (X.astype(numpy.float32)), or a value next to a threshold may fall on its other side.

Loading a pickle runs code that is in it: do this on the machine that trained the model. That is why weir itself reads
no pickles. From a training script, no file is needed:

    from export_sklearn import export
    open("model.json", "w").write(export(model, features=[...], units=[...], class_rows=[9000, 1000]))
    open("model.json", "w").write(export((model, feature_names), above_probability=0.8))
"""
import argparse
import datetime
import hashlib
import json
import sys

import numpy as np
import sklearn
from sklearn import ensemble, linear_model, tree

FORESTS = (ensemble.RandomForestClassifier, ensemble.RandomForestRegressor, ensemble.ExtraTreesClassifier,
           ensemble.ExtraTreesRegressor)
TREES = (tree.DecisionTreeClassifier, tree.DecisionTreeRegressor)  # extra-tree classes derive from them
BOOSTED = (ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor)
HISTOGRAM = (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)
LINEAR = (linear_model.Ridge, linear_model.LinearRegression, linear_model.Lasso, linear_model.ElasticNet)


class Refused(Exception):
    """The model has something that weir cannot evaluate exactly; the text says what."""


def number(x):
    """JSON has no infinity: weir reads this text as one."""
    x = float(x)
    if np.isnan(x):
        raise Refused("a threshold or a value is not a number")
    return x if np.isfinite(x) else "inf" if x > 0 else "-inf"


def classic_tree(fitted, values, output=None):
    """A tree of sklearn.tree; `values` has one row a node."""
    t = fitted.tree_
    leaf = t.children_left < 0
    if "missing_go_to_left" in (t.__getstate__()["nodes"].dtype.names or ()):  # 1.3 and later
        missing = np.where(leaf, 0, t.__getstate__()["nodes"]["missing_go_to_left"])
    else:
        missing = None
    result = {} if output is None else {"output": output}
    result.update({
        "feature": np.where(leaf, -1, t.feature).tolist(),
        "threshold": [0 if l else number(x) for l, x in zip(leaf, t.threshold)],
        "left": t.children_left.tolist(),
        "right": t.children_right.tolist(),
        "values": [number(v) for v in np.asarray(values, np.float64)[leaf].ravel()],
        "cover": t.weighted_n_node_samples.tolist(),
    })
    if missing is not None and missing.any():
        result["missing_left"] = missing.astype(int).tolist()
    return result


def histogram_tree(predictor, output=None):
    """A tree of HistGradientBoosting: its own nodes, float64 rows, NaN by the node's own rule."""
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    if nodes["is_categorical"][~leaf].any():
        raise Refused("categorical splits are not supported: train on numbers")
    result = {} if output is None else {"output": output}
    result.update({
        "feature": np.where(leaf, -1, nodes["feature_idx"]).tolist(),
        "threshold": [0 if l else number(x) for l, x in zip(leaf, nodes["num_threshold"])],
        "left": np.where(leaf, -1, nodes["left"].astype(np.int64)).tolist(),
        "right": np.where(leaf, -1, nodes["right"].astype(np.int64)).tolist(),
        "missing_left": np.where(leaf, 0, nodes["missing_go_to_left"]).astype(int).tolist(),
        "values": [number(v) for v in nodes["value"][leaf]],
        "cover": nodes["count"].astype(float).tolist(),
    })
    return result


def probabilities(fitted):
    """Class probabilities of each node: what predict_proba divides, in its arithmetic."""
    counts = fitted.tree_.value[:, 0, :]
    total = counts.sum(axis=1)[:, np.newaxis]
    total[total == 0.0] = 1.0
    return counts / total


def one_output(model):
    if getattr(model, "n_outputs_", 1) != 1:
        raise Refused(f"a model of {model.n_outputs_} outputs is not supported")


def forest(model):
    """Mean of the trees. A binary classifier keeps both columns where leaves are mixed: scikit-learn compares the two
    sums, each with its own rounding, and only so is a tie its tie."""
    one_output(model)
    members = list(model.estimators_) if isinstance(model, FORESTS) else [model]
    body = {"link": "identity", "vote": "mean", "compare": "<="}
    if not hasattr(model, "classes_"):
        return {**body, "outputs": 1, "trees": [classic_tree(m, m.tree_.value[:, 0, 0]) for m in members]}
    values = [probabilities(m) for m in members]
    leaves = [v[m.tree_.children_left < 0] for v, m in zip(values, members)]
    pure = all(((v == 0) | (v == 1)).all() for v in leaves)
    if len(model.classes_) == 2 and pure:
        return {**body, "outputs": 1, "trees": [classic_tree(m, v[:, 1]) for m, v in zip(members, values)]}
    return {**body, "outputs": len(model.classes_), "trees": [classic_tree(m, v) for m, v in zip(members, values)]}


def constant_start(model, width):
    """The raw prediction before the first tree: the same for all rows, or no JSON can hold it."""
    if model.init_ == "zero":
        return [0.0] * width
    if type(model.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise Refused(f"gradient boosting that starts from {type(model.init_).__name__} is not supported")
    if getattr(model.init_, "strategy", None) == "stratified":
        raise Refused("gradient boosting that starts from random numbers (DummyClassifier, stratified) is not supported")
    raw = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))
    return np.asarray(raw, np.float64).ravel().tolist()


def boosted(model):
    one_output(model)
    stages, width = model.estimators_.shape
    scale, link = 1.0, "identity"
    if hasattr(model, "classes_"):
        loss = model.loss
        link = "softmax" if width > 1 else "sigmoid"
        scale = 2.0 if loss == "exponential" else 1.0
        if loss not in ("log_loss", "deviance", "exponential"):
            raise Refused(f"loss {loss} is not supported")
    bias = [scale * b for b in constant_start(model, width)]
    trees = []
    for s in range(stages):
        for k in range(width):
            member = model.estimators_[s, k]
            values = scale * (model.learning_rate * member.tree_.value[:, 0, 0])
            trees.append(classic_tree(member, values, k if width > 1 else None))
    return {"link": link, "vote": "sum", "compare": "<=", "outputs": width, "bias": bias, "trees": trees}


def histogram(model):
    if getattr(model, "_preprocessor", None) is not None:  # 1.4 and later: it changes the columns and their order
        raise Refused("categorical features are not supported: train on numbers")
    width = model.n_trees_per_iteration_
    loss = model.loss
    if hasattr(model, "classes_"):
        if loss not in ("log_loss", "auto", "binary_crossentropy", "categorical_crossentropy"):
            raise Refused(f"loss {loss} is not supported")
        link = "softmax" if width > 1 else "sigmoid"
    else:
        if loss not in ("squared_error", "absolute_error", "quantile"):
            raise Refused(f"loss {loss} is not supported: its prediction is no sum of trees")
        link = "identity"
    trees = [histogram_tree(p, k if width > 1 else None) for stage in model._predictors for k, p in enumerate(stage)]
    bias = np.asarray(model._baseline_prediction, np.float64).ravel().tolist()
    return {"link": link, "vote": "sum", "compare": "<=", "outputs": width, "bias": bias, "trees": trees}


def weights_of(model):
    """`sparsify` leaves a sparse matrix."""
    return np.asarray(model.coef_.toarray() if hasattr(model.coef_, "toarray") else model.coef_, np.float64)


def one_vs_rest(model):
    way = getattr(model, "multi_class", "auto")
    return way in ("ovr", "warn") or (way in ("auto", "deprecated") and
                                      (len(model.classes_) <= 2 or model.solver == "liblinear"))


def logistic(model):
    weights, bias = weights_of(model), np.asarray(model.intercept_, np.float64)
    classes = len(model.classes_)
    if classes == 2:
        # A multinomial model of two classes takes the softmax of -d and d, which is the sigmoid of 2 d.
        scale = 1.0 if one_vs_rest(model) else 2.0
        return {"link": "sigmoid", "outputs": 1, "bias": (scale * bias).tolist(), "weights": (scale * weights[0]).tolist(),
                "threshold": {"on": "margin", "above": 0.0}}
    if one_vs_rest(model):
        raise Refused("one-vs-rest logistic regression of more than two classes is not supported: use multinomial")
    return {"link": "softmax", "outputs": classes, "bias": bias.tolist(), "weights": weights.ravel().tolist()}


def ridge(model):
    """scikit-learn gives it no probabilities: its score is the sigmoid of the decision function, and its class exact."""
    weights = np.atleast_2d(weights_of(model))
    if len(model.classes_) != 2 or weights.shape[0] != 1:
        raise Refused(f"a ridge classifier of {len(model.classes_)} classes is not supported: train one of two")
    return {"link": "sigmoid", "outputs": 1, "bias": np.ravel(model.intercept_).astype(float).tolist(),
            "weights": weights[0].tolist(), "threshold": {"on": "margin", "above": 0.0}, "probabilities": False}


def threshold_of(model, body, probability, decision):
    """The member `threshold`; a decision function is the margin, but for a factor that some models have."""
    if probability is None and decision is None:
        return body.get("threshold")
    if probability is not None and decision is not None:
        raise Refused("a threshold stands on the probability or on the decision function, not on both")
    if len(getattr(model, "classes_", ())) != 2:
        raise Refused("a threshold belongs to a classifier of two classes")
    if decision is not None:
        if body["link"] != "sigmoid":
            raise Refused(f"{type(model).__name__} has no decision function here: put the threshold on the probability")
        scale = 1.0
        if isinstance(model, ensemble.GradientBoostingClassifier) and model.loss == "exponential":
            scale = 2.0
        if isinstance(model, linear_model.LogisticRegression) and not one_vs_rest(model):
            scale = 2.0
        return {"on": "margin", "above": scale * decision}
    if not hasattr(model, "predict_proba"):
        raise Refused(f"{type(model).__name__} has no probabilities: put the threshold on the decision function")
    if not 0 < probability < 1:
        raise Refused(f"a threshold of {probability} on a probability; one between 0 and 1 is expected")
    return {"on": "probability", "above": probability}


def linear(model):
    weights = np.atleast_2d(weights_of(model))
    if weights.shape[0] != 1:
        raise Refused(f"a regression of {weights.shape[0]} targets is not supported")
    return {"link": "identity", "outputs": 1, "bias": np.ravel(model.intercept_).astype(float).tolist(),
            "weights": weights[0].tolist()}


def body_of(model):
    for kinds, convert, kind in ((FORESTS + TREES, forest, "trees"), (BOOSTED, boosted, "trees"),
                                 (HISTOGRAM, histogram, "trees"), ((linear_model.LogisticRegression,), logistic, "linear"),
                                 ((linear_model.RidgeClassifier,), ridge, "linear"), (LINEAR, linear, "linear")):
        if isinstance(model, kinds):
            if not hasattr(model, "n_features_in_"):
                raise Refused("the model is not fitted")
            return {"kind": kind, **convert(model)}
    raise Refused(f"{type(model).__name__} is not supported; for a pipeline, export its last step and let weir's "
                  "features be what the steps before it made")


def training_rows(model):
    """Rows of each class where the model knows them, else none."""
    if isinstance(model, TREES):
        root = model.tree_
        return (probabilities(model)[0] * root.weighted_n_node_samples[0]).tolist()
    if isinstance(model, ensemble.GradientBoostingClassifier) and hasattr(model.init_, "class_prior_"):
        return (model.init_.class_prior_ * model.estimators_[0, 0].tree_.n_node_samples[0] / model.subsample).tolist()
    return None


def unpaired(model, features):
    """A pair (model, feature names) is how some keep them together; names that are given go before."""
    if isinstance(model, (tuple, list)) and len(model) == 2 and not isinstance(model[1], str):
        return model[0], list(model[1]) if features is None else features
    return model, features


def export(model, features=None, units=None, class_rows=None, name=None, provenance=None, above_probability=None,
           above_decision=None):
    """The model, or the pair (model, feature names), as text. `features` defaults to the pair's names, else to those the
    model was fitted with, else f0, f1, ..."""
    model, features = unpaired(model, features)
    body = body_of(model)
    threshold = threshold_of(model, body, above_probability, above_decision)
    if threshold is not None:
        body["threshold"] = threshold
    count = model.n_features_in_
    if features is None:
        features = list(getattr(model, "feature_names_in_", [f"f{i}" for i in range(count)]))
    units = units or [""] * count
    if len(features) != count or len(units) != count:
        raise Refused(f"{len(features)} feature names and {len(units)} units for {count} features")
    head = {"format": "weir-model", "version": 1, "name": name or type(model).__name__,
            "provenance": {"trainer": f"scikit-learn {sklearn.__version__} {type(model).__name__}",
                           "date": datetime.date.today().isoformat(), **(provenance or {})},
            "features": [{"name": str(n), "unit": u} if u else {"name": str(n)} for n, u in zip(features, units)]}
    if hasattr(model, "classes_"):
        rows = class_rows if class_rows is not None else training_rows(model)
        if rows is not None and len(rows) != len(model.classes_):
            raise Refused(f"{len(rows)} class rows for {len(model.classes_)} classes")
        head["classes"] = [{"name": str(c)} if rows is None else {"name": str(c), "rows": float(rows[i])}
                           for i, c in enumerate(model.classes_)]
    text = json.dumps({**head, **body}, allow_nan=False)[:-1]
    return f'{text}, "sha256": "{hashlib.sha256(text.encode()).hexdigest()}"}}\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", help="a joblib or pickle file; loading it runs its code")
    parser.add_argument("out")
    parser.add_argument("--features", help="names, separated by commas, in the order of the columns")
    parser.add_argument("--units", help="units in the same order; may be empty")
    parser.add_argument("--class-rows", help="training rows of each class")
    parser.add_argument("--above-probability", type=float, metavar="P", help="the last class is a row's above this probability")
    parser.add_argument("--above-decision", type=float, metavar="D", help="the same of the decision function")
    parser.add_argument("--name")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="goes into the provenance")
    arguments = parser.parse_args()
    import joblib
    split = lambda text: text.split(",") if text is not None else None
    try:
        text = export(joblib.load(arguments.model), split(arguments.features), split(arguments.units),
                      [float(n) for n in split(arguments.class_rows)] if arguments.class_rows else None, arguments.name,
                      dict(pair.split("=", 1) for pair in arguments.set), arguments.above_probability,
                      arguments.above_decision)
    except Refused as refused:
        sys.exit(f"export_sklearn.py: {arguments.model}: {refused}")
    with open(arguments.out, "w", encoding="utf-8") as out:
        out.write(text)


if __name__ == "__main__":
    main()
