"""Metrics that are the mean of one column over the scored completions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from rlbench.metrics.ratio import mean


def _optional(distribution: str) -> str:
    """The version of what an extra installs; nothing is scored with it where it is absent."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


_MATHS = f"math-verify:{_optional('math-verify')}|agg:mean"

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

exact = mean(
    "exact",
    grader="exact",
    column="exact",
    higher_is_better=True,
    unit="fraction",
    description="share of completions that are a reference, character for character but for blanks at the ends",
)
squad_exact = mean(
    "squad_exact",
    grader="squad",
    column="exact",
    higher_is_better=True,
    unit="fraction",
    description="share of completions that are an answer after SQuAD's normalisation",
    signature="squad_exact|normalise:squad1.1|references:best|agg:mean",
)
squad_f1 = mean(
    "squad_f1",
    grader="squad",
    column="f1",
    higher_is_better=True,
    unit="f1",
    description="F1 of the words shared with the best answer after SQuAD's normalisation",
    signature="squad_f1|normalise:squad1.1|references:best|agg:mean",
)
choice = mean(
    "choice",
    grader="choice",
    column="correct",
    higher_is_better=True,
    unit="fraction",
    description="share of completions that choose exactly one option and it is right",
)
choice_marked = mean(
    "choice_marked",
    grader="choice",
    column="marked",
    higher_is_better=True,
    unit="fraction",
    description="share of completions that choose exactly one option, right or wrong",
)
maths = mean(
    "maths",
    grader="maths",
    column="correct",
    higher_is_better=True,
    unit="fraction",
    description="share of completions that mark exactly one answer and it equals the gold expression (strict)",
    signature=f"maths|extract:marked|{_MATHS}",
)
maths_flexible = mean(
    "maths_flexible",
    grader="maths",
    column="correct_flexible",
    higher_is_better=True,
    unit="fraction",
    description="share of completions whose marked answer or last expression equals the gold expression",
    signature=f"maths_flexible|extract:marked-or-last|{_MATHS}",
)
maths_marked = mean(
    "maths_marked",
    grader="maths",
    column="marked",
    higher_is_better=True,
    unit="fraction",
    description="share of completions that mark exactly one answer, right or wrong",
)
countdown = mean(
    "countdown",
    grader="countdown",
    column="correct",
    higher_is_better=True,
    unit="fraction",
    description="share of completions whose expression uses each number once and gives the target",
)
bertscore = mean(
    "bertscore",
    grader="bertscore",
    column="f1",
    higher_is_better=True,
    unit="f1",
    description="BERTScore F1 against the best reference",
    signature=f"bertscore|bert-score:{_optional('bert-score')}|references:best|agg:mean",
)
composite = mean(
    "composite",
    grader="composite",
    column="total",
    higher_is_better=True,
    unit="points",
    description="weighted sum of the parts that the task names",
)
reward_model = mean(
    "reward_model",
    grader="reward_model",
    column="reward",
    higher_is_better=True,
    unit="points",
    description="value that a reward model gives",
)
reasoning_gym = mean(
    "reasoning_gym",
    grader="reasoning_gym",
    column="own",
    higher_is_better=True,
    unit="fraction",
    description="score of reasoning-gym's own verifier, which is laxer than `exact`",
    signature=f"reasoning_gym|reasoning-gym:{_optional('reasoning-gym')}|agg:mean",
)
proxy_reward = mean(
    "proxy_reward",
    grader="reward",
    column="value",
    higher_is_better=None,
    unit="points",
    description="the reward that was trained on, where another one is the gold reward",
)
gold_reward = mean(
    "gold_reward",
    grader="gold",
    column="value",
    higher_is_better=True,
    unit="points",
    description="the gold reward, which is only measured",
)
