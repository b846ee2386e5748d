"""How well the policy predicts the references: ratios of sums of their negative log-likelihood."""

from __future__ import annotations

import math

import numpy as np

from rlbench.metrics.ratio import ratio
from rlbench.records import FloatArray


def _exp(nats: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):  # a hopeless policy has an infinite perplexity
        return np.asarray(np.exp(nats), dtype=np.float64)


def _bits(nats: FloatArray) -> FloatArray:
    return nats / math.log(2)


perplexity = ratio(
    "perplexity",
    grader="likelihood",
    numerator="reference_nll",
    denominator="reference_tokens",
    finish=_exp,
    higher_is_better=False,
    unit="perplexity",
    description="exp of the references' negative log-likelihood per token; compares only policies with one tokenizer",
    signature="perplexity|of:references|per:token|agg:exp-ratio-of-sums",
)
bits_per_byte = ratio(
    "bits_per_byte",
    grader="likelihood",
    numerator="reference_nll",
    denominator="reference_bytes",
    finish=_bits,
    higher_is_better=False,
    unit="bits per byte",
    description="the references' negative log-likelihood per UTF-8 byte; compares policies across tokenizers",
    signature="bits_per_byte|of:references|per:utf8-byte|agg:ratio-of-sums",
)
