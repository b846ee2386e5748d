"""Corpus chrF from summed sufficient statistics, for many resamples at once.

The formula is that of sacreBLEU's chrF without epsilon smoothing: precision and recall are averaged over the orders of
n-grams that hypotheses and references both have, and then made into one F score. From 0 to 100.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from rlbench.records import FloatArray, Metric

_ORDERS = (*(f"char{size}" for size in range(1, 7)), "word1", "word2")


def corpus_chrf(sums: FloatArray) -> FloatArray:
    """Map summed statistics [..., 26] to chrF [...].

    They are the n-grams of the hypotheses, of the references and those that match for each of 8 orders, the sum of
    beta over the completions, and their number. NaN where nothing was scored.
    """
    sums = np.asarray(sums, dtype=np.float64)
    counts = sums[..., :-2].reshape(*sums.shape[:-1], len(_ORDERS), 3)
    hyp, ref, match = counts[..., 0], counts[..., 1], counts[..., 2]
    both = (hyp > 0) & (ref > 0)
    orders = np.maximum(both.sum(axis=-1), 1)
    precision = np.divide(match, hyp, out=np.zeros_like(match), where=both).sum(axis=-1) / orders
    recall = np.divide(match, ref, out=np.zeros_like(match), where=both).sum(axis=-1) / orders
    scored = sums[..., -1]
    beta = np.divide(sums[..., -2], scored, out=np.ones_like(scored), where=scored > 0)
    weighted = np.asarray(beta**2 * precision + recall)
    score = (1.0 + beta**2) * precision * recall
    score = 100.0 * np.divide(score, weighted, out=np.zeros_like(weighted), where=weighted > 0)
    return np.asarray(np.where(scored > 0, score, np.nan), dtype=np.float64)


def _components(values: FloatArray) -> FloatArray:
    """Append to the columns [..., 25] a one for every row that was scored; other rows become zeros."""
    values = np.asarray(values, dtype=np.float64)
    scored = ~np.isnan(values).any(axis=-1, keepdims=True)
    return np.concatenate([np.where(scored, values, 0.0), scored.astype(np.float64)], axis=-1)


chrf = Metric(
    name="chrf",
    grader="chrf",
    columns=(*(f"{order}_{count}" for order in _ORDERS for count in ("hyp", "ref", "match")), "beta"),
    components=_components,
    aggregate=corpus_chrf,
    higher_is_better=True,
    unit="chrF",
    description="corpus chrF against the references: overlap of sequences of characters",
    signature=f"chrf|sacrebleu:{version('sacrebleu')}|eff:yes|space:no",
)
