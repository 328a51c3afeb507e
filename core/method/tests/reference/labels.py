#!/usr/bin/env python3
"""Writes labels.json beside it: scores of labels as scikit-learn has them (accuracy_score, f1_score, roc_auc_score), and the expected
calibration error by its definition (Guo et al. 2017, equation 5, with ten bins).

With the libraries `numpy` and `scikit-learn` (made with 1.9.1).
"""
import json
import pathlib
import warnings

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

warnings.filterwarnings("ignore")


def auc(truth, probabilities):
    """One against the rest, over the labels that some have and others have not; of two labels that of the second."""
    labels = probabilities.shape[1]
    asked = [1] if labels == 2 else range(labels)
    areas = [roc_auc_score(truth == label, probabilities[:, label]) for label in asked if 0 < (truth == label).sum() < len(truth)]
    return float(np.mean(areas)) if areas else None


def ece(truth, probabilities, bins=10):
    told, probability = probabilities.argmax(1), probabilities.max(1).astype(np.float64)
    total = 0.0
    for m in range(1, bins + 1):
        inside = ((m - 1) / bins < probability) & (probability <= m / bins)
        if inside.any():
            total += inside.mean() * abs((told == truth)[inside].mean() - probability[inside].mean())
    return float(total)


def case(name, truth, probabilities):
    probabilities = np.asarray(probabilities, np.float32)
    truth, told = np.asarray(truth), probabilities.argmax(1)
    return {
        "name": name, "labels": probabilities.shape[1], "truth": truth.tolist(),
        "probabilities": [float(p) for p in probabilities.ravel()],
        "accuracy": float(accuracy_score(truth, told)), "macro_f1": float(f1_score(truth, told, average="macro")),
        "roc_auc": auc(truth, probabilities), "calibration_error": ece(truth, probabilities),
    }


def drawn(random, items, labels, ties=False, skill=1.0):
    truth = random.integers(labels, size=items)
    scores = random.normal(size=(items, labels))
    scores[np.arange(items), truth] += skill
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    if ties:
        probabilities = np.round(probabilities * 4) / 4
    return truth, probabilities


random = np.random.default_rng(1)
cases = [case(f"{labels} labels{', ties' if ties else ''}", *drawn(random, items, labels, ties))
         for labels, items in [(2, 60), (3, 80), (5, 120)] for ties in (False, True)]
truth, probabilities = drawn(random, 50, 4)
cases.append(case("a label that none has", np.where(truth == 2, 0, truth), probabilities))
probabilities[:, 1] *= 0.001
cases.append(case("a label that none is told to have", truth, probabilities))
cases.append(case("one label alone", np.zeros(7, int), drawn(random, 7, 2)[1]))
cases.append(case("one item", [1], [[0.25, 0.75]]))
everyone = case("three labels against the rest", *drawn(random, 90, 3))
cases.append(everyone)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
