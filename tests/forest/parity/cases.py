# SPDX-License-Identifier: BSD-2-Clause
"""Generated data, rows that stand where comparisons decide, and the files that parity.cpp reads."""
import pathlib

import numpy as np

F32 = np.float32


def training_data(seed, rows, features, classes=2, noise=0.1, missing=0.0):
    """Columns of several kinds: normal, integers with many ties, powers over many decades, one constant."""
    rng = np.random.default_rng(seed)
    x = np.empty((rows, features), F32)
    for f in range(features):
        kind = f % 5
        if kind == 0:
            x[:, f] = rng.normal(size=rows)
        elif kind == 1:
            x[:, f] = rng.integers(-3, 4, rows)
        elif kind == 2:
            x[:, f] = np.exp(rng.uniform(-90, 80, rows))
        elif kind == 3:
            x[:, f] = 7.0 if f == 3 else rng.integers(0, 70000, rows)
        else:
            x[:, f] = rng.uniform(-1e-38, 1e-38, rows) if f == 4 else rng.random(rows)
    ranks = np.argsort(np.argsort(x, axis=0), axis=0) / rows
    signal = ranks[:, 0] + np.sin(9 * ranks[:, features // 2]) + ranks[:, -1] * ranks[:, 0]
    signal = signal + noise * rng.normal(size=rows)
    y = np.searchsorted(np.quantile(signal, np.linspace(0, 1, classes + 1)[1:-1]), signal)
    if missing:
        x[rng.random(x.shape) < missing] = np.nan
    return x, y, signal


def rows_at(thresholds, count, features, seed, base, nan=True, inf=True):
    """`count` rows: rows of `base`, in which a third of the values is a threshold, one step of float32 below or above
    one, or a number that is special. `thresholds` has an array for each feature."""
    rng = np.random.default_rng(seed)
    x = base[rng.integers(0, len(base), count)].astype(F32)
    special = [0.0, -0.0, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38, 1.0, -1.0]
    special += [np.inf, -np.inf] * inf + [np.nan, np.nan] * nan
    special = np.array(special, F32)
    for f in range(features):
        with np.errstate(over="ignore"):
            t = np.asarray(thresholds[f], np.float64).astype(F32)
        t = t[np.isfinite(t)]
        here = rng.random(count)
        if len(t):
            pick = t[rng.integers(0, len(t), count)]
            side = rng.integers(-1, 2, count)
            step = np.where(side == 0, pick, np.nextafter(pick, np.where(side < 0, F32(-np.inf), F32(np.inf)), dtype=F32))
            x[:, f] = np.where(here < 0.33, step, x[:, f])
        x[:, f] = np.where(here > 0.96, special[rng.integers(0, len(special), count)], x[:, f])
    if not inf:
        x[np.isinf(x)] = F32(3.4028235e38)
    return x


class Cases:
    """Writes each case's files into a folder; `write` closes the list."""

    def __init__(self, folder, part=1):
        self.folder = pathlib.Path(folder)
        self.part = part
        self.lines = []

    def path(self, name):
        return self.folder / name

    def add(self, name, x, scores, classes=None, bound=6e-8):
        """The model stands in `name` already. `scores`: rows x columns; `classes`: indices, for a classifier."""
        scores = np.asarray(scores).reshape(len(x), -1)[:: self.part].astype(F32)
        x = x[:: self.part]
        np.ascontiguousarray(np.asarray(x, F32).T).tofile(self.path(name + ".rows"))
        np.ascontiguousarray(scores.T).tofile(self.path(name + ".scores"))
        if classes is not None:
            np.asarray(classes, np.int32)[:: self.part].tofile(self.path(name + ".classes"))
        self.lines.append(f"{name}\t{len(x)}\t{x.shape[1]}\t{scores.shape[1]}\t{bound:g}\n")

    def write(self):
        (self.folder / "cases.tsv").write_text("".join(self.lines))
