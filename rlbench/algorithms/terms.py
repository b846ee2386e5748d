"""The terms that several papers share, taken with an algorithm's axes: rewards, KL penalty, masks, diagnostics."""

from __future__ import annotations

import torch
from torch import Tensor

from rlbench.algorithms.algorithm import Diagnostics, Experience, PairPrediction, Prediction, Rollouts
from rlbench.algorithms.options import Online, PolicyGradient, Preference
from rlbench.functional.kl import ESTIMATORS
from rlbench.functional.losses import MAX_LOG_RATIO, clipped_above, clipped_below, dpo, ipo
from rlbench.functional.shaping import overlong_penalty, shape_rewards


def shaped_rewards(rollouts: Rollouts, axes: Online) -> Tensor:
    """Rewards [B] after scaling, clipping and what is taken off for length. The KL penalty is not in them."""
    rewards = shape_rewards(
        rollouts.rewards, rollouts.truncated, axes.reward_scale, axes.reward_clip, axes.missing_eos_penalty
    )
    if axes.overlong_buffer:
        lengths = rollouts.mask.sum(-1)
        penalty = overlong_penalty(lengths, rollouts.max_new_tokens, axes.overlong_buffer)
        rewards = rewards + axes.overlong_penalty * penalty
    return rewards


def kl_in_reward(rollouts: Rollouts, axes: PolicyGradient) -> Tensor:
    """What every token [B, T] costs for leaving the SFT policy, β·k(x); 0 where the penalty stands in the loss."""
    if axes.kl_placement != "reward":
        return torch.zeros_like(rollouts.old_logprobs)
    beta = axes.beta if rollouts.beta is None else rollouts.beta
    log_ratio = torch.where(rollouts.mask, rollouts.old_logprobs - rollouts.reference_logprobs, 0.0)
    return beta * ESTIMATORS[axes.kl_estimator](log_ratio)


def kl_in_loss(log_ratio: Tensor, new: Prediction, old: Experience, axes: PolicyGradient) -> Tensor:
    """The same as a loss of every token [b, T] with a gradient; 0 where the penalty stands in the reward.

    `log_ratio` [b, T] is that of the importance ratio of the tokens, or of whole completions.
    """
    if axes.kl_placement == "reward" or not axes.beta:
        return torch.zeros_like(new.logprobs)
    penalty = ESTIMATORS[axes.kl_estimator](torch.where(old.mask, new.logprobs - old.reference_logprobs, 0.0))
    if axes.kl_placement == "loss_times_ratio":
        penalty = log_ratio.exp() * penalty
    return axes.beta * penalty


def loss_mask(rollouts: Rollouts, axes: Online) -> Tensor:
    """Tokens that count in the loss: bool [B, T]."""
    if axes.truncated == "keep":
        return rollouts.mask
    return rollouts.mask & ~rollouts.truncated.unsqueeze(-1)


def token_log_ratio(new: Prediction, old: Experience) -> Tensor:
    """log π_θ − log π_old of every counted token [b, T], 0 elsewhere."""
    return torch.where(old.mask, new.logprobs - old.old_logprobs, 0.0)


def weighted(values: Tensor, experience: Experience) -> Tensor:
    """Sum of `values` [b, T] under the step's weights: this slice's share of the mean."""
    return torch.where(experience.mask, values, torch.zeros_like(values)).mul(experience.weights).sum()


def average(values: Tensor, experience: Experience) -> Tensor:
    """This slice's share of the mean of `values` [b, T] under the step's weights, whatever they sum to."""
    return weighted(values, experience) / experience.total_weight


def diagnostics(
    log_ratio: Tensor, surrogate: Tensor, penalty: Tensor, new: Prediction, old: Experience, axes: PolicyGradient
) -> Diagnostics:
    """What is logged about an update. `log_ratio` [b, T] is that of the ratio that was clipped."""
    low = clipped_below(log_ratio, old.advantages, axes.clip_low).float()
    high = clipped_above(log_ratio, old.advantages, axes.clip_high, axes.dual_clip).float()
    return {
        "policy_loss": weighted(surrogate, old),
        "kl_loss": weighted(penalty, old),
        "clip_fraction_low": average(low, old),
        "clip_fraction_high": average(high, old),
        "clip_fraction": average(low + high, old),
    } | movement(log_ratio, new, old)


def movement(log_ratio: Tensor, new: Prediction, old: Experience) -> Diagnostics:
    """How far the policy has moved from the one that sampled: KL (k3, nats per token) and the extreme ratios.

    A slice without counted tokens has no ratio.
    """
    token = token_log_ratio(new, old)
    found = {"approx_kl": average(ESTIMATORS["k3"](-token), old)}
    ratio = log_ratio[old.mask].clamp(max=MAX_LOG_RATIO).exp()
    return found | ({"ratio_min": ratio.min(), "ratio_max": ratio.max()} if ratio.numel() else {})


def preference_loss(new: PairPrediction, pairs: int, axes: Preference) -> tuple[Tensor, Diagnostics]:
    """This slice's share of the mean loss over `pairs` pairs, and diagnostics."""
    chosen = new.chosen - new.reference_chosen
    rejected = new.rejected - new.reference_rejected
    if axes.logprobs == "mean":
        chosen, rejected = chosen / new.chosen_tokens, rejected / new.rejected_tokens
    if axes.loss == "ipo":
        per_pair = ipo(chosen, rejected, axes.beta)
    else:
        per_pair = dpo(chosen, rejected, axes.beta, axes.label_smoothing)
    total = per_pair.sum() / pairs
    return total, {
        "policy_loss": total,
        "preference_accuracy": (chosen > rejected).float().sum() / pairs,
        "reward_margin": axes.beta * (chosen - rejected).sum() / pairs,
    }
