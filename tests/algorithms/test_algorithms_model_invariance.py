"""The real updates on a real, tiny policy in float64: the new weights do not depend on how the batch is laid out."""

from dataclasses import replace

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.registry import load, names
from rlbench.rollouts.collect import Sampling, frozen_logprobs
from rlbench.rollouts.meter import Meter
from rlbench.trainers.gradient import GradientUpdate
from rlbench.trainers.pairs import Pair, PairUpdate, pair_step
from rlbench.trainers.trainer import Job, Learner, Progress
from rlbench.trainers.trust_region import TrustRegionUpdate

ONE_STEP = {"gspo": {"epochs": 4, "minibatches": 1}, "trpo": {}}
"""Options with which an update uses all rows in every step, so that their order cannot matter."""

MASKED = ONE_STEP | {
    "dapo": {"minibatches": 1, "overlong_buffer": 0.0},
    "dr_grpo": {"minibatches": 1, "aggregation": "token_mean"},
    "ppo": {"minibatches": 1, "whiten_advantages": False},
    "reinforce_pp": {"minibatches": 1, "whiten_advantages": False},
}
"""Options with which a group has no influence on the others but by its weight."""


@pytest.fixture
def updated(tmp_path, build_policy):
    """Changes of all weights, and diagnostics, of one update of algorithm `name` on a case."""

    def run(name, case, backwards=False, **options):
        algorithm = load("algorithms", name)(**options)
        policy, reference, store = build_policy(0), build_policy(2), Checkpoints(tmp_path)
        sampling = Sampling(4, case.rollouts.max_new_tokens, 0.9)
        job = Job(policy, reference, range(8), 2, sampling, None, 3, "t", [], 1, 1, store, store)
        progress = Progress(0, Meter(), [])
        before = parameters_to_vector(job.policy.model.parameters()).detach().clone()
        modules = [job.policy.model]
        if algorithm.data == "preferences":
            prompts, completions = case.batch.sequences()
            pairs = [Pair(prompts[row], completions[row], completions[row + 1]) for row in range(0, 12, 2)]
            learner = Learner(job.policy.model, algorithm.options.learning_rate, algorithm.options, 10)
            found = pair_step(algorithm, job, learner, pairs[::-1] if backwards else pairs, progress, 0)
        else:
            if algorithm.data == "rollouts->pairs":
                update = PairUpdate(algorithm, job)
            elif algorithm.update == "trust_region":
                update = TrustRegionUpdate(algorithm, job)
            else:
                update = GradientUpdate(algorithm, job)
                if update.critic is not None:
                    update.critic.double()
                    torch.nn.init.constant_(update.critic.head.weight, 0.1)
                    modules.append(update.critic)
                    before = torch.cat([before, parameters_to_vector(update.critic.parameters()).detach()])
            found = update(case.batch, case.rollouts, progress, 0)
        after = torch.cat([parameters_to_vector(module.parameters()).detach() for module in modules])
        return after - before, found

    return run


def same(found, expected):
    size = float(expected[0].abs().max())
    assert size > 1e-5
    assert float((found[0] - expected[0]).abs().max()) <= 1e-6 * size
    assert found[1] == pytest.approx(expected[1], rel=1e-6, abs=1e-9)


EVERY = pytest.mark.parametrize("name", names("algorithms"))


@EVERY
def test_more_padding_on_either_side_changes_no_weight(name, case, updated):
    expected = updated(name, case)
    for other in (case.left(5), case.right(4), case.left(1).right(2)):
        same(updated(name, other), expected)


@EVERY
@pytest.mark.parametrize("size", [1, 3, 5])
def test_micro_batches_change_no_weight(name, case, updated, size):
    same(updated(name, case, micro_batch_size=size), updated(name, case))


@EVERY
def test_the_order_of_sequences_changes_no_weight(name, case, updated):
    if load("algorithms", name)().data == "preferences":
        same(updated(name, case, backwards=True), updated(name, case))
        return
    options = ONE_STEP.get(name, {"minibatches": 1})
    same(updated(name, case.shuffled(), **options), updated(name, case, **options))


@EVERY
def test_the_first_step_on_fresh_rollouts_has_ratio_one_and_clips_nothing(name, case, updated, build_policy):
    """With what the loop stores at sampling time, though it is computed in other slices than the update's."""
    algorithm = load("algorithms", name)()
    if algorithm.data != "rollouts" or algorithm.update != "gradient":
        pytest.skip("no ratio to begin with, or its diagnostics are of the policy after the step")
    fresh, _ = frozen_logprobs(build_policy(0), case.batch, 0.9, 5, Meter())
    again = replace(case, rollouts=replace(case.rollouts, old_logprobs=fresh))
    options = {"minibatches": 1} if name != "gspo" else {"epochs": 4, "minibatches": 1, "learning_rate": 1e-12}
    _, found = updated(name, again, micro_batch_size=7, **options)
    assert (found["clip_fraction"], found["clip_fraction_low"], found["clip_fraction_high"]) == (0, 0, 0)
    assert (found["ratio_min"], found["ratio_max"]) == pytest.approx((1, 1), abs=1e-6)
    assert found["approx_kl"] == pytest.approx(0, abs=1e-12)


@EVERY
def test_a_masked_group_is_no_group(name, case, updated):
    """Truncated completions that do not count leave the loss, the gradient and the diagnostics of the others alone."""
    if load("algorithms", name)().data != "rollouts":
        pytest.skip("pairs are not masked")
    options = MASKED.get(name, {"minibatches": 1})
    kept = torch.tensor([0, 1, 2, 3, 8, 9, 10, 11])
    truncated = torch.ones(12, dtype=torch.bool)
    truncated[kept] = False
    rows = ("mask", "old_logprobs", "reference_logprobs", "rewards", "values")
    fewer = replace(
        case.rollouts, **{row: getattr(case.rollouts, row)[kept] for row in rows}, truncated=truncated[kept]
    )
    masked = replace(case, rollouts=replace(case.rollouts, truncated=truncated))
    without = replace(case, batch=case.batch.rows(kept), rollouts=fewer)
    same(updated(name, masked, truncated="mask", **options), updated(name, without, **options))


@EVERY
def test_different_algorithms_and_options_lead_to_different_weights(name, case, updated):
    """So that the tests above can fail."""
    others = [other for other in names("algorithms") if other != name]
    mine = updated(name, case)[0]
    for other in others[:3]:
        theirs = updated(other, case)[0]
        assert float((mine[: len(theirs)] - theirs[: len(mine)]).abs().max()) > 1e-4 * float(mine.abs().max())
