import hashlib
import math
from dataclasses import replace

import pytest
import torch

from rlbench.policies.causal_lm import Policy
from rlbench.records import Rewards, Sample
from rlbench.rollouts.collect import Sampling, collect, frozen_logprobs, named_generator
from rlbench.rollouts.meter import Meter

CPU = torch.device("cpu")
SAMPLES = [Sample("one", "ab"), Sample("two", "cdefg"), Sample("three", "h")]


@pytest.fixture
def run(tiny):
    def collected(reward=lambda candidates: [float(len(c.completion)) for c in candidates], count=5, seed=0):
        meter = Meter()
        sampling = Sampling(count, 6, 1.0)

        def judge(candidates):
            judged = reward(candidates)
            return judged if isinstance(judged, Rewards) else Rewards(judged)

        return collect(tiny, SAMPLES, sampling, judge, named_generator(CPU, seed, "test"), meter), meter

    return collected


def test_it_charges_every_completion_once_and_nothing_else(run, tiny: Policy):
    found, meter = run()
    tokens = sum(len(completion.tokens) for completion in found.completions)
    prompt_tokens = sum(1 + len(sample.prompt) for sample in SAMPLES)
    assert (meter.prompts, meter.completions, meter.reward_calls) == (3, 15, 15)
    assert meter.generated_tokens == tokens == meter.phases["rollout"].tokens == meter.phases["reward"].tokens
    assert meter.flops == 2 * tiny.parameters * (prompt_tokens + tokens)
    assert (meter.trained_tokens, meter.optimizer_steps) == (0, 0)


def test_the_reward_sees_each_completion_with_its_sample_in_order(run, tiny):
    seen = []

    def reward(candidates):
        seen.extend(candidates)
        return [float(index) for index in range(len(candidates))]

    found, _ = run(reward)
    assert [candidate.sample.sample_id for candidate in seen] == ["one"] * 5 + ["two"] * 5 + ["three"] * 5
    assert [candidate.completion_index for candidate in seen] == list(range(5)) * 3
    assert [candidate.completion for candidate in seen] == [tiny.decode(c.tokens) for c in found.completions]
    assert found.rewards == [float(index) for index in range(15)]
    assert found.prompts == [tiny.encode_prompt(candidate.sample.prompt) for candidate in seen]


def test_the_digest_tells_rollouts_apart(run):
    same, again, other = run()[0], run()[0], run(seed=1)[0]
    assert same.completions == again.completions
    assert same.digest() == again.digest() != other.digest()
    assert len(same.digest()) == len(hashlib.sha256().hexdigest())


def test_statistics_of_a_batch(run):
    found, _ = run(lambda candidates: [0.0, 1.0, 0.5] * 5)
    statistics = found.statistics(5)
    lengths = [len(completion.tokens) for completion in found.completions]
    assert statistics["reward_mean"] == pytest.approx(0.5)
    assert statistics["reward_std"] == pytest.approx(torch.tensor([0.0, 1.0, 0.5] * 5).std().item())
    assert statistics["length_mean"] == pytest.approx(sum(lengths) / 15)
    assert statistics["length_max"] == max(lengths)
    endless = sum(completion.tokens[-1] != 2 for completion in found.completions)
    assert 0 < endless < 15
    assert statistics["truncated_fraction"] == pytest.approx(endless / 15)
    assert statistics["zero_variance_groups"] == 0


def test_groups_of_equal_rewards_are_counted(run):
    found, _ = run(lambda candidates: [0.1] * 5 + [0.0, 0.1, 0.0, 0.0, 0.0] + [0.0] * 5)
    assert found.statistics(5)["zero_variance_groups"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("blank", ["", "   ", "\n\t "])
def test_completions_of_nothing_but_blanks_are_empty(run, blank):
    found, _ = run()
    written = replace(found, texts=["word", blank, *["a "] * 13])
    assert written.statistics(5)["empty_fraction"] == pytest.approx(1 / 15)


def test_a_part_of_the_reward_is_averaged_over_the_completions_that_have_it(run):
    some = [3.0, math.nan, 5.0, math.nan, math.nan] * 3
    found, _ = run(lambda candidates: Rewards([0.0] * 15, {"some": some, "none": [math.nan] * 15}))
    statistics = found.statistics(5)
    assert statistics["reward_part_some"] == 4
    assert "reward_part_none" not in statistics, "missing is never zero"


def test_rows_are_taken_out_and_batches_put_together(run):
    def reward(candidates):
        return Rewards([float(index) for index in range(15)], {"part": [10.0 + index for index in range(15)]})

    first, second = run(reward)[0], run(reward, seed=1)[0]
    both = first + second
    assert both.rows(range(15)) == first
    assert both.rows(range(15, 30)) == second
    picked = both.rows([16, 3])
    assert picked.completions == [second.completions[1], first.completions[3]]
    assert picked.texts == [second.texts[1], first.texts[3]]
    assert picked.prompts == [second.prompts[1], first.prompts[3]]
    assert (picked.rewards, picked.parts) == ([1.0, 3.0], {"part": [11.0, 13.0]})


def test_named_streams_repeat_and_differ():
    def draw(*names):
        return torch.rand(4, generator=named_generator(CPU, *names)).tolist()

    assert draw(0, "task", "rollouts", 3) == draw(0, "task", "rollouts", 3)
    names = [(0, "task", "rollouts", 3), (0, "task", "rollouts", 4), (1, "task", "rollouts", 3), (0, "task", "dev", 3)]
    assert len({tuple(draw(*name)) for name in [*names, ("0", "task", "rollouts", 3)]}) == 5


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_frozen_log_probabilities_do_not_depend_on_the_slices_and_are_charged_once(run, tiny, rows):
    found, _ = run()
    batch = found.batch(tiny.pad_token_id, CPU)
    meter = Meter()
    logprobs, entropies = frozen_logprobs(tiny, batch, 0.8, rows, meter)
    assert not logprobs.requires_grad
    expected, expected_entropies = tiny.logprobs_and_entropy(batch.input_ids, batch.attention_mask, batch.columns, 0.8)
    torch.testing.assert_close(logprobs, expected.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(entropies, expected_entropies.detach(), atol=1e-5, rtol=0)
    real = sum(len(p) + len(c.tokens) for p, c in zip(found.prompts, found.completions, strict=True))
    assert meter.flops == 2 * tiny.parameters * real
    assert meter.phases["logprob"].tokens == real
    assert meter.completions == meter.reward_calls == 0
