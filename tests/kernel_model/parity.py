#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Trains models on header features with scikit-learn, asks it for its predictions on packets, and lets the kernel and
userspace judge the same packets.

usage: parity.py PROGRAM CACHE [PART [COUNT]]

What is trained and predicted is kept in CACHE, by what it was made of; one PARTth of COUNT packets a model is judged, by
BPF_PROG_TEST_RUN, and for three of the models once more on a wire: what arrives is what scikit-learn lets pass, packet by
packet.
Without scikit-learn, or without root, the test is skipped (exit status 77).
"""
import hashlib
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = pathlib.Path(__file__).resolve()
SCRIPTS = HERE.parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
SLOTS, TRAINING = 24, 20_000


def features():
    """The names in bpf/header_features.h, in its order."""
    text = (HERE.parents[2] / "bpf/header_features.h").read_text()
    return [line.split("(")[1].split(",")[0] for line in text.splitlines() if line.startswith("  X(")]


def read(path, numpy):
    values = numpy.fromfile(path, numpy.uint32).reshape(-1, SLOTS)[:, :len(features())]
    return values.astype(numpy.float32).astype(numpy.float64)  # rows are floats, in weir and in scikit-learn's trees


def labels(x, names, classes, seed, numpy):
    """Something to be learned, with some noise in it, so that deep trees grow."""
    column = {name: x[:, i] for i, name in enumerate(names)}
    signal = (numpy.sin(column["dest_port"] / 900) + (column["ip_ttl"] < 64) + column["tcp_syn_flag"]
              - column["tcp_ack_flag"] * (column["tcp_window_size"] < 4096) + column["tcp_sequence_num"] / 2**32
              + (column["ip_total_length"] > 600) * (column["ip_protocol"] == 17))
    signal = signal + 0.4 * numpy.random.default_rng(seed).normal(size=len(x))
    return numpy.searchsorted(numpy.quantile(signal, numpy.linspace(0, 1, classes + 1)[1:-1]), signal)


def models(x, names, numpy):
    """(name, fitted model) pairs: 20 of them."""
    from sklearn import ensemble as e
    from sklearn import linear_model as l
    from sklearn import tree as t
    y, y3 = labels(x, names, 2, 1, numpy), labels(x, names, 3, 2, numpy)
    few, few_y = x[:4000], y[:4000]
    for depth in (1, 8, 12, 20):
        yield f"tree-depth-{depth}", t.DecisionTreeClassifier(max_depth=depth, random_state=1).fit(x, y)
    yield "tree-weighted", t.DecisionTreeClassifier(max_depth=9, class_weight={0: 0.3, 1: 0.7}, random_state=2).fit(x, y)
    yield "tree-3-classes", t.DecisionTreeClassifier(max_depth=10, random_state=3).fit(x, y3)
    for trees, depth in ((10, 6), (25, 8), (50, 8), (100, 8)):
        yield f"forest-{trees}-depth-{depth}", e.RandomForestClassifier(trees, max_depth=depth, random_state=5).fit(few, few_y)
    yield "forest-of-pure-leaves", e.RandomForestClassifier(6, random_state=6).fit(few[:1500], few_y[:1500])
    flags, of_two, of_three = balanced(names, numpy)
    alike = {"max_depth": 1, "bootstrap": False, "max_features": 1}
    yield "forest-of-ties", e.RandomForestClassifier(10, **alike, random_state=7).fit(flags, of_two)
    yield "forest-3-classes", e.RandomForestClassifier(15, **alike, random_state=8).fit(flags, of_three)
    yield "extra-trees", e.ExtraTreesClassifier(40, max_depth=8, random_state=9).fit(few, few_y)
    yield "boosted", e.GradientBoostingClassifier(n_estimators=40, max_depth=3, random_state=10).fit(few, few_y)
    yield "boosted-ties", e.GradientBoostingClassifier(n_estimators=24, max_depth=1, max_features=1,
                                                       random_state=12).fit(flags, of_two)
    yield "boosted-3-classes", e.GradientBoostingClassifier(n_estimators=8, max_depth=3, random_state=11).fit(few, y3[:4000])
    scale = x.max(axis=0) + 1  # a linear model trains on numbers of one size, and is asked about packets
    logistic = l.LogisticRegression(max_iter=300).fit(x / scale, y)
    logistic.coef_ = logistic.coef_ / scale
    yield "logistic", logistic
    wide = l.LogisticRegression(max_iter=300).fit(x / scale, y3)
    wide.coef_ = wide.coef_ / scale
    yield "logistic-3-classes", wide
    ridge = l.RidgeClassifier().fit(x / scale, y)
    ridge.coef_ = ridge.coef_ / scale
    yield "ridge", ridge


def balanced(names, numpy):
    """Rows of flags in which no flag says more than another: sums of trees that are equal, but for rounding."""
    chosen = [names.index(f"tcp_{flag}_flag") for flag in ("ece", "urg", "psh", "rst", "syn", "fin")]
    bits = (numpy.arange(64)[:, numpy.newaxis] >> numpy.arange(6)) & 1
    flags = numpy.zeros((64 * 6, len(names)))
    flags[:, chosen] = numpy.repeat(bits, 6, axis=0)
    ones, turn = flags.sum(axis=1), numpy.tile(numpy.arange(6), 64)
    of_two = (ones > 3) | ((ones == 3) & (turn < 3))
    of_two = of_two ^ ((turn == 0) & ((ones == 2) | (ones == 4)))
    pairs = flags[:, chosen].reshape(-1, 3, 2).sum(axis=2) + 0.1 * (turn[:, numpy.newaxis] % 3 == numpy.arange(3))
    return flags, of_two.astype(int), pairs.argmax(axis=1)


def make(program, folder, count):
    import numpy
    from export_sklearn import export
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([program, "training", folder, str(TRAINING)], check=True)
    names = features()
    made = []
    for name, model in models(read(folder / "training.values", numpy), names, numpy):
        path = folder / f"{name}.json"
        above = 0.7 if name == "forest-25-depth-8" else None  # a threshold of the user's own
        path.write_text(export(model, features=names, above_probability=above))
        values = folder / "values"
        subprocess.run([program, "values", path, str(count), values], check=True)
        rows = read(values, numpy)
        classes = numpy.searchsorted(model.classes_, model.predict(rows))
        if above is not None:
            classes = model.predict_proba(rows)[:, 1] > above
        (folder / f"{name}.json.classes").write_bytes(classes.astype(numpy.uint8).tobytes())
        values.unlink()
        made.append(path.name)
    (folder / "training.values").unlink()
    (folder / "cases").write_text("".join(f"{name}\n" for name in made))


def main(program, cache, part="1", count="100000"):
    try:
        import sklearn
    except ModuleNotFoundError:
        print("skipped: Python's sklearn is missing; install the Debian package python3-sklearn")
        return 77
    if os.geteuid() != 0:
        print("skipped: BPF_PROG_TEST_RUN needs root")
        return 77
    sources = [HERE, HERE.with_name("packets.h"), SCRIPTS / "export_sklearn.py", HERE.parents[1] / "support/frame_generator.h",
               HERE.parents[1] / "support/packet_builder.h", *sorted((HERE.parents[2] / "src/kernel_model").glob("plan*.cpp")),
               HERE.parents[2] / "bpf/header_features.h", HERE.parents[2] / "bpf/parse.h"]
    key = hashlib.sha256(b"".join(s.read_bytes() for s in sources) + f"{sklearn.__version__} {count}".encode()).hexdigest()
    cache = pathlib.Path(cache)
    folder = cache / key[:16]
    if not (folder / "cases").exists():
        for old in cache.glob("*/*"):
            old.unlink()
        make(program, folder, int(count))
    ways = [subprocess.run([program, way, folder, part], check=False).returncode for way in ("judge", "live")]
    return max(ways, key=abs)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
