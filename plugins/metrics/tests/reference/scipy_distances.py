#!/usr/bin/env python3
"""Reference distances from SciPy: of the built-in metrics and of those under examples/.

    pip install numpy scipy
    python scipy_distances.py > scipy_distances.json

`rows` are pairs of neurons as a metric is given them, ragged: feature ids (indices into `names`), and counts and masses of
both sides. Probabilities are masses over their sum. `positions` are where features stand on a line, for Wasserstein.
`distances` holds for each metric one value a row, null where there is none. The seed is fixed. Made with SciPy 1.17.1 and
NumPy 2.4.6 on x86-64.

Rows whose sides are nearly the same are left out: there SciPy's own Jensen-Shannon distance has 8 digits.
"""
import json
import math

import numpy as np
from scipy.spatial import distance
from scipy.stats import entropy, wasserstein_distance

FEATURES = 40
SMOOTHING = 0.01
NAMES = ["the", "Straße", "", "😀", "<unk>"] + [f"w{i}" for i in range(5, FEATURES)]
random = np.random.default_rng(1111)
# Some features share a place.
POSITIONS = np.where(np.arange(FEATURES) % 7 == 3, 2.5, random.normal(0, 10, FEATURES).round(3))


def row(length, present, spread):
    """Counts and masses of both sides over `length` features of the union; each feature is on at least one side."""
    features = np.sort(random.choice(FEATURES, length, replace=False))
    has = random.random((2, length)) < present
    has[random.integers(0, 2, length), np.arange(length)] = True
    for side in (0, 1):
        if not has[side].any():
            has[side, random.integers(length)] = True
    counts = np.where(has, random.integers(1, 1000, (2, length)), 0)
    masses = counts * 10 ** random.uniform(-spread, spread, (2, length))
    return features, counts, masses


def disjoint(length, spread):
    features, counts, masses = row(length, 1.0, spread)
    first = np.arange(length) < (length + 1) // 2
    keep = np.stack([first, ~first])
    return features, counts * keep, masses * keep


def rows():
    yield from (row(length, present, 1) for length in (1, 2, 3, 5, 8, 13, 40) for present in (0.3, 0.7, 1.0))
    # Shares down to 1e-16 of the whole; and whole masses of the size of 1e-12 and 1e12.
    yield from (row(length, 0.8, 8) for length in (2, 4, 16, 40))
    for scale in (1e-12, 1e12):
        features, counts, masses = row(6, 0.8, 1)
        yield features, counts, masses * [[scale], [1.0]]
    yield from (disjoint(length, 3) for length in (2, 3, 10))
    features, counts, masses = row(9, 1.0, 2)
    yield features, np.stack([counts[0]] * 2), np.stack([masses[0]] * 2)


def hellinger(row):
    return distance.euclidean(np.sqrt(row.p), np.sqrt(row.q)) / math.sqrt(2)


def kl(row, base, smoothing):
    """SciPy makes the sides sum to 1."""
    return entropy(row.p + smoothing, row.q + smoothing, base=base)


def bhattacharyya(row):
    """The roots are of length 1: one less their cosine distance is the coefficient."""
    coefficient = 1 - distance.cosine(np.sqrt(row.p), np.sqrt(row.q))
    return -math.log(coefficient) if (row.p * row.q).any() else math.inf


class Row:
    def __init__(self, features, counts, masses):
        self.features, self.counts, self.masses = features, counts, masses
        self.p, self.q = masses / masses.sum(axis=1, keepdims=True)


METRICS = {
    "hellinger": hellinger,
    "jensen-shannon": lambda row: distance.jensenshannon(row.p, row.q, base=2),
    "total-variation": lambda row: distance.cityblock(row.p, row.q) / 2,
    # Canberra's distance of two numbers: their difference over their sum.
    "mass-shift": lambda row: distance.canberra([row.masses[0].sum()], [row.masses[1].sum()]),
    "kl": lambda row: kl(row, 2, 0),
    "kl, smoothed": lambda row: kl(row, math.e, SMOOTHING),
    "bhattacharyya": bhattacharyya,
    "cosine": lambda row: distance.cosine(row.p, row.q),
    "jaccard": lambda row: distance.jaccard(row.p > 0, row.q > 0),
    "wasserstein": lambda row: wasserstein_distance(*[POSITIONS[row.features]] * 2, row.p, row.q),
}


def main():
    all_rows = [Row(*row) for row in rows()]
    finite = lambda value: float(value) if math.isfinite(value) else None
    print(json.dumps({
        "names": NAMES,
        "positions": POSITIONS.tolist(),
        "smoothing": SMOOTHING,
        "rows": [
            {"features": row.features.tolist(), "counts": row.counts.tolist(), "masses": row.masses.tolist()}
            for row in all_rows
        ],
        "distances": {name: [finite(metric(row)) for row in all_rows] for name, metric in METRICS.items()},
    }, ensure_ascii=False, separators=(",", ":")).replace('},{"features', '},\n{"features').replace('],"', '],\n"'))


if __name__ == "__main__":
    main()
