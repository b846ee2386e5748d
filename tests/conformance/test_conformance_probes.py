"""Probes on our own algorithms, whose options are known: what they measure must be what was set."""

from dataclasses import dataclass

import pytest
import torch

from rlbench.conformance.fixed import make_plan, save_policy
from rlbench.conformance.online import measure, set_alike
from rlbench.conformance.ours import OurRollouts, Scored
from rlbench.conformance.pairs import measure_length, measure_ranking, measure_shape
from rlbench.conformance.policy_gradient import measure_penalty, measure_surrogate
from rlbench.functional.losses import bradley_terry, dpo, ipo
from rlbench.policies.causal_lm import load_policy


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conform")
    save_policy(folder)
    return load_policy(folder, torch.device("cpu"))


@pytest.fixture(scope="module")
def plan(policy):
    return make_plan(policy)


SETTINGS = [
    ("grpo", {}, {"ratio": "token", "aggregation": "sequence_mean", "kl_placement": "loss", "beta": 0.04}),
    ("grpo", {"aggregation": "token_mean", "clip_low": 0.1, "clip_high": 0.3, "dual_clip": 3.0}, {}),
    ("grpo", {"aggregation": "constant", "advantage": "mean_only"}, {"advantage_epsilon": "none"}),
    ("grpo", {"kl_estimator": "k2", "beta": 0.2}, {"kl_placement": "loss"}),
    ("grpo", {"kl_placement": "loss_times_ratio", "beta": 0.5}, {"kl_estimator": "k3"}),
    ("grpo", {"kl_placement": "loss_times_ratio", "kl_estimator": "k1", "beta": 0.5}, {}),
    ("grpo", {"advantage": "population_std", "advantage_epsilon": 1e-4, "truncated": "mask"}, {}),
    ("gspo", {}, {"ratio": "sequence mean", "clip_low": 3e-4, "clip_high": 4e-4, "kl_estimator": "off"}),
    ("rloo", {}, {"ratio": "none", "clip_low": "off", "kl_placement": "reward", "kl_estimator": "k1", "beta": 0.03}),
    ("rloo", {"ratio": "sequence", "beta": 0.05, "advantage": "mean_only"}, {"ratio": "completion", "clip_low": 0.2}),
]


@pytest.mark.parametrize(("name", "options", "more"), SETTINGS)
def test_what_was_set_is_measured(policy, plan, name, options, more):
    found = measure(OurRollouts(name, options, policy), plan, one_action=name == "rloo").row()
    expected = {key: value for key, value in options.items() if key != "ratio"} | more
    assert {key: found[key] for key in expected} == {
        key: value if isinstance(value, str) else pytest.approx(value, rel=1e-4) for key, value in expected.items()
    }
    assert found["micro-batch split"] == "does not matter"
    assert (found["stop token"], found["tokens in the loss"]) == ("counted", "those of the mask")


@pytest.mark.parametrize(("name", "options", "more"), SETTINGS)
def test_an_algorithm_is_set_alike_to_itself(policy, plan, name, options, more):
    native = OurRollouts(name, options, policy)
    alike, refused = set_alike(native, measure(native, plan, one_action=name == "rloo"), lambda: None)
    loss = float(alike.step_loss(plan))
    assert loss == pytest.approx(float(native.step_loss(plan)), rel=1e-5)
    assert set(refused) <= {"clip_low", "clip_high"}  # "off" has no setting of its own


@dataclass(frozen=True)
class Defect(OurRollouts):
    """GRPO with a planted defect."""

    kind: str = ""

    def token_loss(self, logprobs, step, parts=1):
        loss = super().token_loss(logprobs, step, parts)
        if self.kind == "micro-batch mean":
            return sum(
                OurRollouts.token_loss(self, logprobs[rows], type(step)(*(part[rows] for part in self._parts(step))))
                * (step.mask[rows].sum() / len(rows))
                for rows in torch.arange(len(step.mask)).chunk(parts)
            )
        if self.kind == "another term":
            return loss + 0.01 * (logprobs**2 * step.mask).sum()
        if self.kind == "drops the first token":
            mask = step.mask.clone()
            mask[:, 0] = False
            return super().token_loss(logprobs, type(step)(mask, step.old, step.reference, step.advantages), parts)
        return loss

    @staticmethod
    def _parts(step):
        return step.mask, step.old, step.reference, step.advantages

    def score(self, plan):
        scored = super().score(plan)
        if self.kind == "sign":
            return Scored(scored.mask, -scored.advantages)
        if self.kind == "wrong group":
            return Scored(scored.mask, scored.advantages.roll(8))
        if self.kind == "wrong completion":
            return Scored(scored.mask, scored.advantages.roll(1))
        if self.kind == "no stop token":
            return Scored(scored.mask & scored.mask.roll(-1, 1), scored.advantages)
        return scored


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("micro-batch mean", "micro-batch split"),
        ("another term", "kl_estimator"),
        ("drops the first token", "tokens in the loss"),
        ("sign", "advantage"),
        ("wrong group", "advantage"),
        ("wrong completion", "advantage"),
        ("no stop token", "stop token"),
    ],
)
def test_a_planted_defect_shows_on_its_axis(policy, plan, kind, name):
    sound = measure(OurRollouts("grpo", {}, policy), plan).row()
    found = measure(Defect("grpo", {}, policy, kind=kind), plan).row()
    assert found[name] != sound[name]


def test_an_unknown_penalty_is_not_taken_for_one_of_ours(policy):
    native = OurRollouts("grpo", {"beta": 0.0}, policy)

    def loss(logprobs, step, parts=1):
        x = logprobs - step.reference
        return native.token_loss(logprobs, step, parts) + (x.abs() * step.mask).sum() / step.mask.sum()

    assert measure_penalty(loss).estimator == "none of ours"


def test_a_surrogate_without_clip_has_none(policy):
    def loss(logprobs, step, parts=1):
        weights = step.mask / step.mask.sum()
        return -((logprobs - step.old).exp() * step.advantages.unsqueeze(-1) * weights).sum()

    found = measure_surrogate(loss)
    assert (found.clip_low, found.clip_high, found.dual_clip) == ("off", "off", "off")
    assert found.aggregation == "token_mean"
    assert found.shares == pytest.approx((1 / 6, 5 / 6))


@pytest.mark.parametrize(("beta", "smoothing"), [(0.1, 0.0), (0.5, 0.2)])
def test_the_logistic_loss_is_recognised(beta, smoothing):
    found = measure_shape(lambda chosen, rejected: dpo(chosen, rejected, beta, smoothing).sum())
    assert (found.loss, found.beta, found.label_smoothing) == ("sigmoid", beta, smoothing)


def test_the_squared_loss_is_recognised():
    found = measure_shape(lambda chosen, rejected: ipo(chosen, rejected, 0.2).sum())
    assert (found.loss, found.beta) == ("ipo", 0.2)


@pytest.mark.parametrize(
    "loss",
    [
        lambda chosen, rejected: torch.relu(1 - 0.1 * (chosen - rejected)).sum(),
        lambda chosen, rejected: dpo(chosen.exp(), rejected.exp(), 0.1).sum(),
        lambda chosen, rejected: dpo(chosen, rejected, 0.1).sum() + 0.01 * chosen.sum(),
    ],
    ids=["hinge", "another divergence", "a likelihood term"],
)
def test_other_losses_of_pairs_are_none_of_ours(loss):
    assert measure_shape(loss).loss == "none of ours"


def test_sums_and_means_of_tokens_are_told_apart():
    mask = torch.arange(5) < torch.tensor([[3], [5]])
    assert measure_length(0.05 * mask, mask) == "sum"
    assert measure_length(0.05 * mask / mask.sum(-1, keepdim=True), mask) == "mean"
    assert measure_length(torch.arange(10.0).view(2, 5) * mask, mask) == "none of ours"


def test_centring_and_margin_of_a_reward_model_are_measured():
    def given(chosen, rejected, margin):
        return bradley_terry(chosen, rejected, 0.0 if margin is None else margin, centring=0.01).sum()

    def ignored(chosen, rejected, margin):
        return bradley_terry(2 * chosen, 2 * rejected).sum()

    found = measure_ranking(given)
    assert (found.loss, found.centring, found.margin, found.scale) == ("Bradley-Terry", 0.01, "subtracted", 1.0)
    found = measure_ranking(ignored)
    assert (found.centring, found.margin, found.scale) == (0.0, "ignored", 2.0)
