"""The axes on which implementations of the same algorithm differ, as checked fields. docs/algorithms/ explains each.

Every algorithm has its own class of options, which sets the defaults of its paper.
"""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rlbench.errors import InputError
from rlbench.functional.advantages import GroupAdvantage
from rlbench.functional.kl import KLEstimator
from rlbench.functional.masking import Aggregation

KLPlacement = Literal["reward", "loss", "loss_times_ratio"]
Pairing = Literal["rank", "best_worst", "random", "all"]


class Options(BaseModel):
    """What every algorithm has."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    micro_batch_size: int = Field(default=64, ge=1)
    """Sequences (or pairs) per forward pass. It limits memory and does not change the result."""

    def suspicions(self) -> list[str]:
        """What is allowed but rarely meant, in plain words."""
        return []


class Adam(Options):
    """How gradients become steps: AdamW with a schedule and clipping.

    Deviations from the papers: learning rates fit the small policies that ship with rlbench; set them for others.
    """

    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate of AdamW for the policy."""
    schedule: Literal["linear", "constant"] = "linear"
    """`linear` decays to 0 over the run."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the run over which the learning rate rises from 0."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.95, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm, policy and critic each on its own."""


class Online(Options):
    """What is done to rewards and cut-off completions before anything is learnt from them."""

    logprob_temperature: Literal["sampling", "one"] = "sampling"
    """Divides the logits of the old, the new and the reference policy alike: as in sampling, or not at all."""
    reward_scale: float = Field(default=1.0, gt=0)
    reward_clip: float | None = Field(default=None, gt=0)
    """Rewards are clipped to ± this after scaling."""
    missing_eos_penalty: float = Field(default=0.0, ge=0)
    """Taken off the reward of a completion that the length limit cut off."""
    overlong_buffer: float = Field(default=0.0, ge=0, le=1)
    """Last share of the length limit in which the reward falls linearly (DAPO's soft punishment); 0 is off."""
    overlong_penalty: float = Field(default=1.0, gt=0)
    """By how much it has fallen at the limit."""
    truncated: Literal["keep", "mask"] = "keep"
    """`mask`: completions that were cut off do not count in the loss (DAPO's overlong filtering)."""

    @model_validator(mode="after")
    def _one_treatment_of_truncation(self) -> Self:
        if self.truncated == "mask" and (self.missing_eos_penalty or self.overlong_buffer):
            raise ValueError(
                "truncated: mask takes cut-off completions out of the loss, so that missing_eos_penalty and "
                "overlong_buffer would only shift the baseline of the others; choose one of them"
            )
        return self


class PolicyGradient(Online, Adam):
    """The axes of a clipped policy gradient with a KL penalty."""

    epochs: int = Field(default=1, ge=1)
    """Passes over each rollout batch."""
    minibatches: int = Field(default=4, ge=1)
    """Optimizer steps per pass; each takes an equal share of the rollout batch."""
    aggregation: Aggregation = "sequence_mean"
    """Weights of the token losses: mean over tokens then sequences, over all tokens, or a constant denominator."""
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    """How far the ratio may fall below 1 (Schulman et al. 2017, section 6.1)."""
    clip_high: float = Field(default=0.2, gt=0)
    """How far the ratio may rise above 1."""
    dual_clip: float | None = Field(default=None, gt=1)
    """Bound on the ratio of tokens with a negative advantage (Ye et al. 2020); off in all papers here."""
    beta: float = Field(default=0.0, ge=0)
    """Weight of the KL penalty towards the SFT policy; 0 is off."""
    kl_estimator: KLEstimator = "k3"
    """k1 is x, k2 is ½x², k3 is exp(−x) − 1 + x with x = log π − log π_SFT."""
    kl_placement: KLPlacement = "loss"
    """In the reward (no gradient of its own), in the loss, or in the loss times the importance ratio."""

    @model_validator(mode="after")
    def _regularises(self) -> Self:
        where = f"kl_estimator {self.kl_estimator} with kl_placement {self.kl_placement}"
        if not self.beta:
            return self
        if self.kl_placement == "loss" and self.kl_estimator == "k1":
            raise ValueError(
                f"{where}: its expected gradient is 0, so nothing would hold the policy near the reference; "
                f"expected k3 (the gradient of KL(SFT ‖ π)) or k2 (that of KL(π ‖ SFT)) in the loss"
            )
        if self.kl_placement == "reward" and self.kl_estimator != "k1":
            raise ValueError(
                f"{where}: its expected gradient belongs to no divergence; expected k1 in the reward, whose expected "
                f"gradient is that of KL(π ‖ SFT)"
            )
        if self.kl_placement == "loss_times_ratio" and self.kl_estimator == "k2":
            raise ValueError(
                f"{where}: its expected gradient belongs to no divergence; expected k3 (or k1) there, or k2 in the loss"
            )
        return self

    @model_validator(mode="after")
    def _dual_clip_lies_above(self) -> Self:
        if self.dual_clip is not None and self.dual_clip <= 1 + self.clip_high:
            raise ValueError(f"dual_clip is {self.dual_clip}, expected more than 1 + clip_high = {1 + self.clip_high}")
        return self


class GroupPolicyGradient(PolicyGradient):
    """A clipped policy gradient whose baseline is the other completions of the prompt."""

    advantage: GroupAdvantage = "sample_std"
    """How the rewards of a group become advantages."""
    advantage_epsilon: float = Field(default=1e-6, gt=0)
    """Added to the group's standard deviation, if `advantage` has one."""

    def suspicions(self) -> list[str]:
        """A penalty whose weight is divided out again."""
        if not (self.beta and self.kl_placement == "reward" and self.advantage in ("sample_std", "population_std")):
            return []
        return [
            f"kl_placement reward with advantage {self.advantage}: the penalty is divided by the group's standard "
            f"deviation, and where all rewards of a group are equal beta cancels out; mean_only keeps its weight"
        ]


class Preference(Adam):
    """The axes of losses on preference pairs."""

    beta: float = Field(default=0.1, gt=0)
    """Strength of the implied KL constraint (Rafailov et al. 2023, section 6; τ in IPO)."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """`sigmoid` is DPO; `ipo` regresses the margin on 1/(2β) (Azar et al. 2023, equation 17)."""
    logprobs: Literal["sum", "mean"] = "sum"
    """Log-probability of a completion: the sum over its tokens, or their mean (length-normalised)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Probability that a label is wrong: conservative DPO (Mitchell 2023)."""
    logprob_temperature: Literal["sampling", "one"] = "one"
    """Whether log-probabilities are those of the sampling temperature or of the model as it is."""
    pairing: Pairing = "rank"
    """Which completions of a prompt are compared: best with worst, second best with second worst and so on (`rank`),
    the first of these pairs alone (`best_worst`), one of unequal reward at random, or all of them."""

    @model_validator(mode="after")
    def _ipo_has_no_smoothing(self) -> Self:
        if self.loss == "ipo" and self.label_smoothing:
            raise ValueError("label_smoothing has no meaning in the loss ipo; expected 0, or the loss sigmoid")
        return self


Model = TypeVar("Model", bound=Options)


def read_options(model: type[Model], name: str, options: dict[str, Any]) -> Model:
    """Check the options of algorithm `name`.

    Raises:
        InputError: an option does not exist or its value is not allowed, with the reason.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            key = ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "extra_forbidden":
                lines.append(f"algorithm {name!r}: unknown option {key!r} (known: {', '.join(model.model_fields)})")
            else:
                where = f"option {key!r}: " if key else ""
                lines.append(f"algorithm {name!r}: {where}{problem['msg'].removeprefix('Value error, ')}")
        raise InputError("\n".join(lines)) from error
