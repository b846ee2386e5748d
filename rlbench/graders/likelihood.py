"""Passes on the likelihoods that the sampling stage measured with the policy. No model is needed here.

Reads from `Candidate.measured`: `logprob` and `sft_logprob` (log-probability of the completion under the policy and
under the SFT policy, summed over tokens, nats), `reference_nll` (negative log-likelihood of the references under the
policy, summed over tokens and references, nats), `reference_tokens` and `reference_bytes`.

Columns:
    kl_nats: logprob - sft_logprob. Its mean over completions sampled from the policy is the unbiased k1 estimate
        of KL(policy || SFT); for completions that were sampled otherwise it means nothing.
    reference_nll, reference_tokens, reference_bytes: as measured. A sample's value stands with each of its
        completions, which leaves ratios of sums unchanged.

A column that was not measured is NaN. A candidate with nothing measured is unscored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

COLUMNS = ("kl_nats", "reference_nll", "reference_tokens", "reference_bytes")


class _Options(Options):
    """Likelihood has no options."""


def likelihood(**options: object) -> Grader:
    """Return the grader of measured likelihoods.

    Raises:
        InputError: an option is given; there are none.
    """
    read_options("likelihood", _Options, options)
    return Grader(
        name="likelihood",
        version=1,
        columns=COLUMNS,
        grade=grade,
        description="log-probability of the completion over SFT, and likelihood of the references, as sampled",
    )


def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
    """Pass on what was measured for every candidate."""
    return [_judge(candidate) for candidate in candidates]


def _judge(candidate: Candidate) -> Judgement:
    measured = candidate.measured
    values = {column: measured.get(column, math.nan) for column in COLUMNS[1:]}
    values["kl_nats"] = measured.get("logprob", math.nan) - measured.get("sft_logprob", math.nan)
    if all(math.isnan(value) for value in values.values()):
        return Unscored("no likelihood was measured for this completion")
    return Scored({column: float(values[column]) for column in COLUMNS})
