"""Sampling: from the right distribution, and whatever else is in the batch."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from scipy import stats

from rlbench.policies.generation import generate
from rlbench.policies.padding import left_pad

CPU = torch.device("cpu")
PROMPTS = ["ab", "h", "cde fgh", "a a a a a"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def probabilities(policy, tokens, temperature):
    """Of the next token, by transformers alone."""
    with torch.no_grad():
        return torch.softmax(policy.model(input_ids=torch.tensor([tokens])).logits[0, -1] / temperature, -1)


def chi_square(observed, expected):
    """p value of counts against expected counts; outcomes expected less than five times are merged."""
    rare = [token for token in range(len(expected)) if expected[token] < 5]
    common = [token for token in range(len(expected)) if expected[token] >= 5]
    counts, wanted = [observed[token] for token in common], [float(expected[token]) for token in common]
    if rare:
        counts.append(sum(observed[token] for token in rare))
        wanted.append(float(sum(expected[token] for token in rare)))
    scale = sum(counts) / sum(wanted)
    return stats.chisquare(counts, [value * scale for value in wanted]).pvalue


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0])
def test_first_tokens_follow_the_softmax(tiny, temperature):
    count = 20_000
    prompt = tiny.encode_prompt("ab")
    completions = generate(tiny, [prompt], count, 1, temperature, seeded())
    observed = Counter(completion.tokens[0] for completion in completions)
    p = probabilities(tiny, prompt, temperature)
    assert float(p.max()) < 0.99
    assert chi_square(observed, p * count) > 1e-3
    assert chi_square(observed, probabilities(tiny, prompt, temperature * 1.1) * count) < 1e-3, "the test has power"


def test_second_tokens_follow_the_softmax_given_the_first(tiny):
    prompt = tiny.encode_prompt("cd")
    completions = generate(tiny, [prompt], 20_000, 2, 1.0, seeded())
    first = Counter(completion.tokens[0] for completion in completions)
    common = [token for token, seen in first.most_common(4) if token not in tiny.stop_token_ids]
    for token in common:
        second = Counter(completion.tokens[1] for completion in completions if completion.tokens[0] == token)
        assert chi_square(second, probabilities(tiny, [*prompt, token], 1.0) * first[token]) > 1e-3


def test_rows_of_a_batch_are_drawn_independently(tiny):
    prompt = tiny.encode_prompt("ab")
    completions = generate(tiny, [prompt], 20_000, 1, 1.0, seeded())
    tokens = [completion.tokens[0] for completion in completions]
    p = probabilities(tiny, prompt, 1.0)
    same = sum(one == other for one, other in zip(tokens[::2], tokens[1::2], strict=True))
    assert stats.binomtest(same, 10_000, float((p**2).sum())).pvalue > 1e-3


@pytest.mark.parametrize("temperature", [1.0, 1e-6])
def test_a_completion_does_not_depend_on_when_the_others_end(tiny, temperature):
    # rows that have ended leave the batch; a policy that never stops keeps all rows to the end
    prompts = [tiny.encode_prompt(text) for text in PROMPTS]
    endless = replace(tiny, stop_token_ids=(10_000,))
    whole = generate(endless, prompts, 8, 24, temperature, seeded())
    assert all(len(completion.tokens) == 24 for completion in whole)
    stops = (2, 5, 9)
    cut = generate(replace(tiny, stop_token_ids=stops), prompts, 8, 24, temperature, seeded())
    ends = set()
    for short, long in zip(cut, whole, strict=True):
        at = next((place for place, token in enumerate(long.tokens) if token in stops), 23)
        assert short.tokens == long.tokens[: at + 1]
        assert short.truncated == (long.tokens[at] not in stops)
        ends.add(at)
    assert len(ends) > (1 if temperature < 1 else 5), "rows must end at different steps for this test to mean anything"


def test_finished_rows_leave_the_batch(tiny):
    widths = []
    tiny.model.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(kwargs["input_ids"].shape[0]), with_kwargs=True
    )
    policy = replace(tiny, stop_token_ids=(2, 5, 9))
    completions = generate(policy, [policy.encode_prompt(text) for text in PROMPTS], 8, 24, 1.0, seeded())
    alive = [sum(len(completion.tokens) > step for completion in completions) for step in range(1, 24)]
    assert widths == [4, *[rows for rows in alive if rows]]


def test_greedy_tokens_are_those_of_transformers_generate(tiny):
    prompts = [tiny.encode_prompt(text) for text in PROMPTS]
    ids, attention = left_pad(prompts, tiny.pad_token_id, CPU)
    for stops in [(10_000,), (2,), (4, 7), (3, 5, 9, 11)]:
        found = generate(replace(tiny, stop_token_ids=stops), prompts, 2, 20, 1e-6, seeded())
        reference = tiny.model.generate(
            input_ids=ids,
            attention_mask=attention,
            do_sample=False,
            max_new_tokens=20,
            eos_token_id=list(stops),
            pad_token_id=tiny.pad_token_id,
        )[:, ids.shape[1] :].tolist()
        for row, completion in enumerate(found):
            expected = reference[row // 2]
            assert list(completion.tokens) == expected[: len(completion.tokens)]
            assert completion.truncated or completion.tokens[-1] in stops
            assert set(expected[len(completion.tokens) :]) <= {tiny.pad_token_id}


def test_a_stop_token_ends_the_completion_and_is_part_of_it(tiny):
    policy = replace(tiny, stop_token_ids=(2, 6))
    completions = generate(policy, [policy.encode_prompt("abc")], 200, 12, 1.0, seeded())
    for completion in completions:
        assert not set(completion.tokens[:-1]) & {2, 6}
        assert 1 <= len(completion.tokens) <= 12
        assert completion.truncated == (completion.tokens[-1] not in (2, 6))
        assert not completion.truncated or len(completion.tokens) == 12
    assert {completion.tokens[-1] for completion in completions} >= {2, 6}
    assert len({len(completion.tokens) for completion in completions}) > 5


def test_the_same_generator_gives_the_same_completions_and_another_gives_others(tiny):
    prompts = [tiny.encode_prompt(text) for text in PROMPTS]
    one, same, other = (generate(tiny, prompts, 4, 8, 1.0, seeded(seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_generation_leaves_the_global_random_state_alone(tiny):
    before = torch.random.get_rng_state()
    generate(tiny, [tiny.encode_prompt("ab")], 2, 4, 1.0, seeded())
    assert torch.equal(torch.random.get_rng_state(), before)
