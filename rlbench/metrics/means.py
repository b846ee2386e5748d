"""Metrics that are the mean of one column over the scored completions."""

from __future__ import annotations

from importlib.metadata import version

from rlbench.metrics.ratio import mean

correctness = mean(
    "correctness",
    grader="correctness",
    column="correct",
    higher_is_better=True,
    unit="fraction",
    description="share of completions that mark exactly one answer and it is right (strict)",
    signature="correctness|extract:marked|compare:exact|agg:mean",
)
correctness_flexible = mean(
    "correctness_flexible",
    grader="correctness",
    column="correct_flexible",
    higher_is_better=True,
    unit="fraction",
    description="share of completions whose marked answer or last number is right: content without format",
    signature="correctness_flexible|extract:marked-or-last-number|compare:exact|agg:mean",
)
marked = mean(
    "marked",
    grader="correctness",
    column="marked",
    higher_is_better=True,
    unit="fraction",
    description="share of completions that mark exactly one answer, right or wrong: format without content",
    signature="marked|extract:marked|agg:mean",
)
matched = mean(
    "matched",
    grader="pattern",
    column="matched",
    higher_is_better=True,
    unit="fraction",
    description="share of completions that match the task's pattern",
)

unit_tests_fraction = mean(
    "unit_tests_fraction",
    grader="unit_tests",
    column="fraction",
    higher_is_better=True,
    unit="fraction",
    description="share of a completion's unit tests that hold",
)
loads = mean(
    "loads",
    grader="unit_tests",
    column="loaded",
    higher_is_better=True,
    unit="fraction",
    description="share of completions that are a program at all: it compiles, imports and has what the tests call",
)

_ROUGE = f"rouge-score:{version('rouge-score')}|agg:mean-f1"
rouge1 = mean(
    "rouge1",
    grader="rouge",
    column="rouge1",
    higher_is_better=True,
    unit="f1",
    description="ROUGE-1 F1: overlap of words with the references",
    signature=f"rouge1|{_ROUGE}",
)
rouge2 = mean(
    "rouge2",
    grader="rouge",
    column="rouge2",
    higher_is_better=True,
    unit="f1",
    description="ROUGE-2 F1: overlap of pairs of words with the references",
    signature=f"rouge2|{_ROUGE}",
)
rougeL = mean(
    "rougeL",
    grader="rouge",
    column="rougeL",
    higher_is_better=True,
    unit="f1",
    description="ROUGE-L F1: longest common subsequence of words with the references",
    signature=f"rougeL|{_ROUGE}",
)

distinct1 = mean(
    "distinct1",
    grader="diversity",
    column="distinct1",
    higher_is_better=True,
    unit="fraction",
    description="share of distinct words over the completions of a prompt",
    signature="distinct1|per:prompt|agg:mean",
)
distinct2 = mean(
    "distinct2",
    grader="diversity",
    column="distinct2",
    higher_is_better=True,
    unit="fraction",
    description="share of distinct pairs of words over the completions of a prompt",
    signature="distinct2|per:prompt|agg:mean",
)

mean_length = mean(
    "mean_length",
    grader="length",
    column="tokens",
    higher_is_better=None,
    unit="tokens",
    description="mean length of the completions",
)
truncated = mean(
    "truncated",
    grader="length",
    column="truncated",
    higher_is_better=None,
    unit="fraction",
    description="share of completions that the length limit cut off",
)
kl_to_sft = mean(
    "kl_to_sft",
    grader="likelihood",
    column="kl_nats",
    higher_is_better=None,
    unit="nats",
    description="KL divergence of the policy from the SFT policy per completion, k1 estimate",
    signature="kl_to_sft|estimator:k1|per:completion|agg:mean",
)
