"""Corpus BLEU from summed sufficient statistics, for many resamples at once.

The formula is that of sacreBLEU's `BLEU.compute_bleu` with its default smoothing `exp` (method 3 of Chen and Cherry,
2014): the k-th n-gram order without a match counts as 1 / 2^k matches. From 0 to 100.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from rlbench.records import FloatArray, Metric

_ORDERS = 4


def corpus_bleu(sums: FloatArray) -> FloatArray:
    """Map summed statistics [..., 10] (matches 1-4, n-grams 1-4, length, reference length) to BLEU [...].

    NaN where the sums are all zero because nothing was scored.
    """
    sums = np.asarray(sums, dtype=np.float64)
    correct, total = sums[..., :_ORDERS], sums[..., _ORDERS : 2 * _ORDERS]
    sys_len, ref_len = sums[..., 8], sums[..., 9]
    unmatched = (correct == 0) & (total > 0)
    smoothed = np.where(unmatched, 0.5 ** np.cumsum(unmatched, axis=-1), correct)
    # BLEU is 0 without any match, and where the texts are too short to have a 4-gram at all.
    possible = np.asarray((correct > 0).any(axis=-1) & (total > 0).all(axis=-1))
    logs = np.log(np.divide(smoothed, total, out=np.ones_like(total), where=possible[..., None]))
    shortness = np.divide(ref_len, sys_len, out=np.ones_like(ref_len), where=(sys_len > 0) & (sys_len < ref_len))
    score = np.where(possible, 100.0 * np.exp(1.0 - shortness + logs.mean(axis=-1)), 0.0)
    return np.asarray(np.where((sums == 0).all(axis=-1), np.nan, score), dtype=np.float64)


def _components(values: FloatArray) -> FloatArray:
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.isnan(values).any(axis=-1, keepdims=True), 0.0, values)


bleu = Metric(
    name="bleu",
    grader="bleu",
    columns=(
        *("correct1", "correct2", "correct3", "correct4"),
        *("total1", "total2", "total3", "total4"),
        *("sys_len", "ref_len"),
    ),
    components=_components,
    aggregate=corpus_bleu,
    higher_is_better=True,
    unit="BLEU",
    description="corpus BLEU against the references",
    signature=f"bleu|sacrebleu:{version('sacrebleu')}|eff:no|smooth:exp",
)
