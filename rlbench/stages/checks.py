"""The checks of a training run: each reads what was logged and sees something or nothing.

A diagnostic that was not logged is never taken for zero.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from rlbench.stages.sighting import Severity, Sighting
from rlbench.stages.trained_run import TrainedRun, first_third, is_number, last_third

MOST = 0.9
"""Share of groups, completions or clippable tokens that counts as nearly all: a tenth of the batch is left to learn
from, so that the run costs ten times what it is worth."""
SOME_EMPTY = 0.1
"""Share of empty completions worth a word. A policy that answers leaves none empty; one in ten is a habit."""
KL_NATS = 50.0
"""KL to the SFT policy, nats per completion, from which over-optimisation was seen: 50 to 85 nats for a learned reward
and a policy of 1B parameters (Huang et al. 2024, "The N+ implementation details of RLHF with PPO")."""
KL_GROWTH = 100.0
"""Growth from the first third of training to the last that is an explosion: two orders of magnitude ..."""
KL_GROWTH_FLOOR = 10.0
"""... if it ends above this many nats; from the exact 0 of the start even harmless values have grown a lot."""
ENTROPY_LEFT = 0.05
"""Share of the entropy at the start below which the policy nearly always writes the same."""
FEW = 6
"""Measured values below which a curve has no beginning and end to compare."""
TREND = 9
"""The same for the mean reward, whose noise must be estimated too, and for the critic, which starts from nothing."""


def _diverged(run: TrainedRun) -> Sighting | None:
    if run.status != "diverged":
        return None
    facts = {"detail": run.detail or "no detail was recorded", "size": run.step_size}
    words = (
        "Training diverged: {detail}. The seed counts as lost and is never dropped. Lower {size} and look "
        "at the curves before that step."
    )
    return Sighting("diverged", "serious", words, facts, run.step)


def zero_variance(run: TrainedRun) -> Sighting | None:
    """Groups whose completions all got the same reward teach nothing."""
    shares, rewards = _without_signal(run), run.series("reward_mean")
    if not shares:
        return None
    facts = {"share": fmean(shares), "reward": fmean(rewards)} if rewards else {"share": fmean(shares)}
    mean = " (mean reward {reward:g})" if rewards else ""
    if facts["share"] >= MOST:
        words = (
            f"In {{share:%}} of the groups all completions got the same reward{mean}, so there was next to nothing to "
            "learn from. Check that the reward can tell completions apart; use prompts that the policy "
            "sometimes solves, a finer reward, more completions per prompt or a higher temperature."
        )
        return Sighting("zero_variance_groups", "serious", words, facts)
    late, at_end = fmean(last_third(shares)), fmean(last_third(rewards)) if rewards else 0.0
    if late < MOST:
        return None
    words = (
        "Towards the end all completions got the same reward in {late:%} of the groups (mean reward {reward:g}, "
        "{early:%} of the groups at the start): the policy has learnt what these prompts can teach, or it has "
        "collapsed. If that reward is high, train shorter or on harder prompts."
    )
    early = fmean(first_third(shares))
    return Sighting("zero_variance_groups", "info", words, {"late": late, "early": early, "reward": at_end})


def _without_signal(run: TrainedRun) -> list[float]:
    """Per batch, the share of groups that teach nothing.

    Without group advantages or pairs a group of equal rewards still teaches beside other groups, so that only a batch
    with a single reward counts.
    """
    grouped = "advantage" in run.options or run.options.get("baseline") == "group" or run.series("pairs")
    if grouped:
        return run.series("zero_variance_groups")
    return [float(value <= 1e-9) for value in run.series("reward_std")]


def _clip_stuck(run: TrainedRun) -> Sighting | None:
    steps = int(run.options.get("epochs", 0)) * int(run.options.get("minibatches", 0))
    values = run.series("clip_fraction")
    if steps < 2 or not values:
        return None  # with a single step per batch the ratio is 1 and the clip can never act
    if not any(run.series("grad_norm")):
        return None  # nothing was learnt, and another finding says why
    limits = {name: str(run.options.get(name, "unknown")) for name in ("clip_low", "clip_high")}
    if max(values) == 0.0 and len(values) >= FEW:
        words = (
            f"The clip never acted, although every rollout batch makes {steps} steps: the updates are too small for "
            "clip_low {clip_low} and clip_high {clip_high} to matter, and without the clip the run would be the same."
        )
        return Sighting("clip_fraction_stuck", "info", words, limits)
    # The first step of a batch is on-policy and clips nothing, so that (steps - 1) / steps is all that can be clipped.
    share = fmean(last_third(values)) * steps / (steps - 1)
    if share < MOST:
        return None
    words = (
        "The clip held back {share:%} of all that it can clip, so most updates changed nothing. Widen clip_low and "
        "clip_high (now {clip_low} and {clip_high}), lower learning_rate, or make fewer steps per rollout batch "
        f"(now {steps})."
    )
    return Sighting("clip_fraction_stuck", "warning", words, {"share": share, **limits})


def _truncated(run: TrainedRun) -> Sighting | None:
    values, longest = run.series("truncated_fraction"), run.series("length_max")
    if not values or fmean(last_third(values)) < MOST:
        return None
    facts = {"share": fmean(last_third(values))}
    limit = ""
    if longest:
        limit, facts["longest"] = " (tokens of the longest: {longest:g})", max(longest)
    words = (
        f"{{share:%}} of the completions were cut off at the length limit{limit}, so the reward never saw how they "
        "end and the policy cannot learn to stop. Raise rollout.max_new_tokens, and check that the policy's stop "
        "tokens (base_policy.stop_token_ids) are right."
    )
    return Sighting("everything_truncated", "serious", words, facts, run.first_step("truncated_fraction", MOST))


def _empty(run: TrainedRun) -> Sighting | None:
    values = run.series("empty_fraction")
    if not values or fmean(last_third(values)) < SOME_EMPTY:
        return None
    share = fmean(last_third(values))
    words = (
        "{share:%} of the completions were empty. The policy stops at once: the reward may favour silence, or the "
        "prompts end with a stop token. Read some completions, and give an empty answer the lowest reward."
    )
    severity: Severity = "serious" if share >= MOST else "warning"
    return Sighting(
        "empty_completions", severity, words, {"share": share}, run.first_step("empty_fraction", SOME_EMPTY)
    )


def _kl_explosion(run: TrainedRun) -> Sighting | None:
    values = run.series("kl_nats")
    if not values and run.evaluated_kl is not None:
        values = [run.evaluated_kl]  # preference-based training logs no KL on its way
    if not values:
        return None
    late, early = fmean(last_third(values)), fmean(first_third(values))
    facts: dict[str, float | str] = {"late": late, "early": early, "size": run.step_size}
    if late > KL_NATS:
        lead = (
            f"The policy is {{late:g}} nats per completion away from the SFT policy, beyond the {KL_NATS:.0f} to 85 at "
        )
        lead += "which over-optimisation of a reward has been seen."
    elif len(values) >= FEW and late > KL_GROWTH_FLOOR and late > KL_GROWTH * abs(early):
        lead = "KL to the SFT policy grew from {early:g} to {late:g} nats per completion and is running away."
    else:
        return None
    words = (
        f"{lead} A rising reward may then be an exploit of the reward: read completions, compare with the primary "
        "metric, raise beta or lower {size}."
    )
    return Sighting("kl_explosion", "serious", words, facts, run.first_step("kl_nats", KL_NATS))


def _chat_template(run: TrainedRun) -> Sighting | None:
    if run.chat_template != "unused":
        return None
    words = (
        "The tokenizer has a chat template, but no training prompt carries its marks: a policy tuned for chat then "
        "answers out of its format. Write the template's text into the task's prompt, or take the policy that is not "
        "tuned for chat."
    )
    return Sighting("missing_chat_template", "warning", words)


def _entropy_collapse(run: TrainedRun) -> Sighting | None:
    values = run.series("entropy")
    if len(values) < FEW or values[0] <= 0 or fmean(last_third(values)) >= ENTROPY_LEFT * values[0]:
        return None
    words = (
        "Entropy fell from {first:g} to {late:g} nats per token: the policy nearly always writes the same, so it no "
        "longer finds anything new. Lower {size}, raise beta or clip_high, or stop earlier."
    )
    facts: dict[str, float | str] = {"first": values[0], "late": fmean(last_third(values)), "size": run.step_size}
    return Sighting("entropy_collapse", "warning", words, facts)


def _no_step_taken(run: TrainedRun) -> Sighting | None:
    # Without a gradient there is nothing to search along, and another finding says why.
    values = [row["step_share"] for row in run.curve if is_number(row.get("step_share")) and row.get("grad_norm") != 0]
    share = fmean(value == 0 for value in values) if values else 0.0
    if share < MOST:
        return None
    words = (
        "In {share:%} of the batches the line search found no step that improves the objective within the KL bound, so "
        "the policy stayed as it was. Raise max_kl, cg_damping or line_search_steps."
    )
    return Sighting("no_step_taken", "serious", words, {"share": share})


def _value_not_learnt(run: TrainedRun) -> Sighting | None:
    # A batch with a single reward leaves the critic nothing to explain.
    rows = [row for row in run.curve if is_number(row.get("value_explained_variance")) and row.get("reward_std") != 0]
    values = [float(row["value_explained_variance"]) for row in rows]
    if len(values) < TREND or fmean(last_third(values)) > 0:
        return None
    words = (
        "At the end the critic explained {late:g} of the variance of the returns (1 is all, 0 none, less is worse than "
        "no critic), so the advantages are rewards with added noise. Raise value_learning_rate, train longer, or take "
        "an algorithm without a critic."
    )
    return Sighting("value_not_learnt", "warning", words, {"late": fmean(last_third(values))})


def _preferences_not_learnt(run: TrainedRun) -> Sighting | None:
    values = [
        float(row["preference_accuracy"])
        for row in run.curve
        if is_number(row.get("preference_accuracy")) and not is_number(row.get("reward_mean"))
    ]
    if len(values) < FEW or fmean(last_third(values)) > 0.5:
        return None
    words = (
        "At the end the policy put the preferred completion first in {late:%} of its own training pairs, no better "
        "than a coin. Raise learning_rate or epochs, and check that the preferences are not noise."
    )
    return Sighting("preferences_not_learnt", "warning", words, {"late": fmean(last_third(values))})


CHECKS: tuple[Callable[[TrainedRun], Sighting | None], ...] = (
    _diverged,
    zero_variance,
    _truncated,
    _kl_explosion,
    _empty,
    _chat_template,
    _entropy_collapse,
    _clip_stuck,
    _no_step_taken,
    _value_not_learnt,
    _preferences_not_learnt,
)
