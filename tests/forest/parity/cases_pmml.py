# SPDX-License-Identifier: BSD-2-Clause
"""PMML, written here from scikit-learn's models in the ways that exporters differ: the order and operators of a split,
compound predicates, distributions or bare scores, every missing value strategy that is read, segments.

The judge is an interpreter of the PMML text itself, row by row, in three-valued logic.
"""
import itertools
import xml.etree.ElementTree as xml

import numpy as np
from cases import rows_at, training_data
from sklearn import ensemble as e
from sklearn import tree as t

UNKNOWN = 2


def simple(parent, f, op, value):
    xml.SubElement(parent, "SimplePredicate", field=f"x{f}", operator=op, **({} if value is None else {"value": repr(value)}))


def split(node, f, threshold, less, style):
    """The predicate of one side of `x <= threshold`; `style` chooses among texts of the same meaning."""
    if style == "compound":  # two fields; the other side asks the opposite
        c = xml.SubElement(node, "CompoundPredicate", booleanOperator="and" if less else "or")
        simple(c, f, "lessOrEqual" if less else "greaterThan", threshold)
        simple(c, (f + 1) % 4, "notEqual" if less else "equal", 1.0)
        return
    if style == "missing":
        c = xml.SubElement(node, "CompoundPredicate", booleanOperator="or" if less else "and")
        simple(c, f, "lessOrEqual" if less else "greaterThan", threshold)
        simple(c, f, "isMissing" if less else "isNotMissing", None)
        return
    if style == "strict":
        threshold = float(np.nextafter(threshold, np.inf))
        simple(node, f, "lessThan" if less else "greaterOrEqual", threshold)
    else:
        simple(node, f, "lessOrEqual" if less else "greaterThan", threshold)


def write_tree(parent, fitted, classes, style, strategy, otherwise, shares, seed):
    rng = np.random.default_rng(seed)
    ids = itertools.count(1)
    options = {"missingValueStrategy": strategy} if strategy else {}
    if otherwise:
        options["noTrueChildStrategy"] = otherwise
    model = xml.SubElement(parent, "TreeModel", functionName="classification" if classes else "regression", **options)
    s = xml.SubElement(model, "MiningSchema")
    for f in range(fitted.n_features_in_):
        xml.SubElement(s, "MiningField", name=f"x{f}")
    tree_ = fitted.tree_

    def add(at, n, predicate):
        node = xml.SubElement(at, "Node", id=str(next(ids)), recordCount=repr(float(tree_.weighted_n_node_samples[n])))
        predicate(node)
        value = tree_.value[n][0]
        if classes:
            node.set("score", str(int(value.argmax())))
            for c in range(classes if shares else 0):
                xml.SubElement(node, "ScoreDistribution", value=str(c), recordCount=repr(float(value[c])))
        else:
            node.set("score", repr(float(value[0])))
        if tree_.children_left[n] < 0:
            return node
        f, threshold = int(tree_.feature[n]), float(tree_.threshold[n])
        sides = [(tree_.children_left[n], True), (tree_.children_right[n], False)]
        if rng.random() < 0.5:
            sides.reverse()
        made = [add(node, child, lambda at, less=less: split(at, f, threshold, less, style)) for child, less in sides]
        if strategy == "defaultChild":
            node.set("defaultChild", made[int(rng.integers(2))].get("id"))
        return node

    add(model, 0, lambda at: xml.SubElement(at, "True"))
    return model


def truth(p, row, replacement):
    if p.tag == "True":
        return 1
    if p.tag == "CompoundPredicate":
        parts = [truth(c, row, replacement) for c in p]
        stop = 0 if p.get("booleanOperator") == "and" else 1
        return stop if stop in parts else UNKNOWN if UNKNOWN in parts else 1 - stop
    x = float(row[int(p.get("field")[1:])])
    if np.isnan(x) and replacement is not None:
        x = replacement
    op = p.get("operator")
    if op == "isMissing":
        return int(np.isnan(x))
    if op == "isNotMissing":
        return int(not np.isnan(x))
    if np.isnan(x):
        return UNKNOWN
    v = float(p.get("value"))
    return int({"lessOrEqual": x <= v, "lessThan": x < v, "greaterThan": x > v, "greaterOrEqual": x >= v, "equal": x == v,
                "notEqual": x != v}[op])


def predicate_of(node):
    return next(c for c in node if c.tag in ("True", "SimplePredicate", "CompoundPredicate"))


def without_unknown(p, row, replacement):
    """Strategy none: each comparison with a missing value is false by itself."""
    if p.tag != "CompoundPredicate":
        return truth(p, row, replacement) == 1
    return (all if p.get("booleanOperator") == "and" else any)(without_unknown(c, row, replacement) for c in p)


def leaf_of(tree, row, replacement):
    node = tree.find("Node")
    strategy = tree.get("missingValueStrategy", "none")
    while True:
        children = node.findall("Node")
        if not children:
            return node
        taken = None
        for child in children:
            p = predicate_of(child)
            if strategy == "none":
                if without_unknown(p, row, replacement):
                    taken = child
                    break
                continue
            value = truth(p, row, replacement)
            if value == UNKNOWN:
                if strategy == "lastPrediction":
                    return node
                taken = next(c for c in children if c.get("id") == node.get("defaultChild"))
                break
            if value == 1:
                taken = child
                break
        if taken is None:
            assert tree.get("noTrueChildStrategy") == "returnLastPrediction"
            return node
        node = taken


def answer(leaf, classes, votes):
    if not classes:
        return np.array([float(leaf.get("score"))])
    shares = np.zeros(classes)
    entries = leaf.findall("ScoreDistribution")
    if votes or not entries:
        shares[int(leaf.get("score"))] = 1
        return shares
    for entry in entries:
        shares[int(entry.get("value"))] = float(entry.get("recordCount"))
    return shares / shares.sum()


def document(features, classes, replacement=None, kind="double"):
    root = xml.Element("PMML", version="4.4", xmlns="http://www.dmg.org/PMML-4_4")
    xml.SubElement(root, "Header")
    d = xml.SubElement(root, "DataDictionary")
    for f in range(features):
        xml.SubElement(d, "DataField", name=f"x{f}", optype="continuous", dataType=kind)
    target = xml.SubElement(d, "DataField", name="y", optype="categorical" if classes else "continuous",
                            dataType="string" if classes else "double")
    for c in range(classes):
        xml.SubElement(target, "Value", value=str(c))
    schema = xml.Element("MiningSchema")
    for f in range(features):
        xml.SubElement(schema, "MiningField", name=f"x{f}", **({} if replacement is None else
                                                            {"missingValueReplacement": repr(replacement)}))
    xml.SubElement(schema, "MiningField", name="y", usageType="target")
    return root, schema


def add(cases, name, members, x, classes, seed, count=1500, method=None, style="plain", strategy=None, otherwise=None,
        shares=True, replacement=None, weights=None, nan=True):
    features = x.shape[1]
    root, schema = document(features, classes, replacement)
    if method is None:
        trees = [write_tree(root, members[0], classes, style, strategy, otherwise, shares, seed)]
        trees[0].remove(trees[0].find("MiningSchema"))
        trees[0].insert(0, schema)
    else:
        mining = xml.SubElement(root, "MiningModel", functionName="classification" if classes else "regression")
        mining.append(schema)
        segmentation = xml.SubElement(mining, "Segmentation", multipleModelMethod=method)
        trees = []
        for i, member in enumerate(members):
            segment = xml.SubElement(segmentation, "Segment", id=str(i + 1), **({} if weights is None else
                                                                             {"weight": repr(weights[i])}))
            xml.SubElement(segment, "True")
            trees.append(write_tree(segment, member, classes, style, strategy, otherwise, shares, seed + i))
    cases.path(name).write_bytes(b'<?xml version="1.0"?>\n' + xml.tostring(root))
    found = [np.concatenate([m.tree_.threshold[m.tree_.feature == f] for m in members]) for f in range(features)]
    rows = rows_at(found, count, features, seed, x, nan=nan)
    votes = method is not None and "Vote" in method
    totals = np.zeros((count, classes or 1))
    share = np.asarray(weights if weights is not None else [1.0] * len(trees), np.float64)
    share = share / share.sum() if method and method.startswith("weighted") else share
    for r in range(count):
        for tree, w in zip(trees, share):
            totals[r] += w * answer(leaf_of(tree, rows[r], replacement), classes, votes)
    if method in ("average", "majorityVote"):
        totals /= len(trees)
    cases.add(name, rows, totals, totals.argmax(axis=1) if classes else None, 2.4e-7)


def make(cases, seed):
    x, y, z = training_data(seed, 1500, 6, missing=0.0)
    y3 = training_data(seed, 1500, 6, 3)[1]
    stump = [t.DecisionTreeClassifier(max_depth=5, random_state=seed, min_samples_leaf=7).fit(x, y3)]
    last = {"otherwise": "returnLastPrediction"}
    for style, strategy in itertools.product(("plain", "strict", "compound", "missing"),
                                             (None, "lastPrediction", "defaultChild")):
        # A missing value in a compound predicate has subtrees written twice: such trees must be small.
        depth = 6 if style != "compound" else 2 if strategy == "defaultChild" else 4
        pure = [t.DecisionTreeClassifier(max_depth=depth, random_state=seed).fit(x, y3)]
        add(cases, f"tree-{style}-{strategy}.pmml", pure, x, 3, seed, style=style, strategy=strategy, shares=False, **last)
    add(cases, "tree-replaced.pmml", stump, x, 3, seed, replacement=0.25, shares=False)
    add(cases, "tree-null.pmml", stump, x, 3, seed, strategy="nullPrediction", shares=False, nan=False)
    add(cases, "tree-regression.pmml", [t.DecisionTreeRegressor(max_depth=7).fit(x, z)], x, 0, seed, strategy="defaultChild")
    forest = e.RandomForestClassifier(9, max_depth=6, random_state=seed).fit(x, y).estimators_
    weights = [0.5, 1.5, 2.0, 1.0, 0.25, 3.0, 1.0, 1.0, 0.75]
    for method in ("average", "majorityVote", "weightedAverage", "weightedMajorityVote"):
        add(cases, f"forest-{method}.pmml", forest, x, 2, seed, method=method, strategy="defaultChild",
            weights=weights if method.startswith("weighted") else None)
    members = e.RandomForestRegressor(7, max_depth=5, random_state=seed).fit(x, z).estimators_
    for method in ("average", "sum", "weightedAverage"):
        add(cases, f"regression-{method}.pmml", members, x, 0, seed, method=method, strategy="defaultChild",
            weights=weights[:7] if method.startswith("weighted") else None)
