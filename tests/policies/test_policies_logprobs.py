"""Log-probabilities of a batch: whatever the padding, from the state before each token."""

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Categorical

from rlbench.policies.generation import generate
from rlbench.policies.padding import token_batch
from rlbench.policies.value_head import Critic

CPU = torch.device("cpu")
PROMPTS = ["ab", "h", "cde fgh", "a a a a a"]
COMPLETIONS = ["bcd", "a", "ef gh ab", "hh"]


@pytest.fixture
def batch(tiny):
    prompts = [tiny.encode_prompt(text) for text in PROMPTS]
    tails = [tiny.encode_completion(*pair) for pair in zip(PROMPTS, COMPLETIONS, strict=True)]
    return token_batch(prompts, tails, tiny.pad_token_id, CPU), prompts, tails


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_they_are_torchs_cross_entropy_of_each_sequence_alone(tiny, batch, temperature):
    tokens, prompts, tails = batch
    found, entropies = tiny.logprobs_and_entropy(tokens.input_ids, tokens.attention_mask, tokens.columns, temperature)
    assert torch.equal(tiny.logprobs(tokens.input_ids, tokens.attention_mask, tokens.columns, temperature), found)
    for row, (prompt, tail) in enumerate(zip(prompts, tails, strict=True)):
        logits = tiny.model(input_ids=torch.tensor([prompt + tail])).logits[0, len(prompt) - 1 : -1] / temperature
        expected = -F.cross_entropy(logits, torch.tensor(tail), reduction="none")
        torch.testing.assert_close(found[row, : len(tail)], expected, atol=1e-5, rtol=0)
        expected = Categorical(logits=logits).entropy()
        torch.testing.assert_close(entropies[row, : len(tail)], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("extra", [1, 9])
@torch.no_grad()
def test_padding_on_either_side_changes_nothing(tiny, batch, extra):
    tokens, _, tails = batch
    whole = tiny.logprobs(tokens.input_ids, tokens.attention_mask, tokens.columns)
    for fill in (tiny.pad_token_id, 7):
        left = F.pad(tokens.input_ids, (extra, 0), value=fill)
        attention = F.pad(tokens.attention_mask, (extra, 0), value=0)
        found = tiny.logprobs(left, attention, tokens.columns)
        assert float(((found - whole) * tokens.mask).abs().max()) < 1e-5
        right = F.pad(tokens.input_ids, (0, extra), value=fill)
        attention = F.pad(tokens.attention_mask, (0, extra), value=0)
        found = tiny.logprobs(right, attention, tokens.columns + extra)[:, : tokens.columns]
        assert float(((found - whole) * tokens.mask).abs().max()) < 1e-5
    assert min(len(tail) for tail in tails) < tokens.columns


def test_slices_are_the_batch(tiny, batch):
    tokens, _, _ = batch
    whole = tiny.logprobs(tokens.input_ids, tokens.attention_mask, tokens.columns)
    for rows in (1, 3):
        parts = tokens.slices(rows)
        assert [part.mask.shape[0] for part in parts] == ([1] * 4 if rows == 1 else [3, 1])
        found = torch.cat([tiny.logprobs(part.input_ids, part.attention_mask, part.columns) for part in parts])
        torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_generated_tokens_get_the_probability_with_which_they_were_drawn(tiny, temperature):
    # the mean of -logprob over many samples is the entropy, from the same logits
    prompt = tiny.encode_prompt("cd")
    drawn = generate(tiny, [prompt], 4000, 6, temperature, torch.Generator().manual_seed(0))
    tokens = token_batch([prompt] * 4000, [completion.tokens for completion in drawn], 0, CPU)
    with torch.no_grad():
        found, entropies = tiny.logprobs_and_entropy(
            tokens.input_ids, tokens.attention_mask, tokens.columns, temperature
        )
    surprise = ((-found - entropies) * tokens.mask).sum(-1)
    error = float(surprise.std()) / 4000**0.5
    assert abs(float(surprise.mean())) < 4 * error


def test_layout_puts_prompts_left_and_completions_right(tiny, batch):
    tokens, prompts, tails = batch
    width = tokens.input_ids.shape[1] - tokens.columns
    for row, (prompt, tail) in enumerate(zip(prompts, tails, strict=True)):
        real = tokens.input_ids[row][tokens.attention_mask[row].bool()].tolist()
        assert real == prompt + tail
        assert tokens.input_ids[row, width - len(prompt) : width].tolist() == prompt
        assert tokens.mask[row].nonzero().flatten().tolist() == list(range(len(tail)))


def test_a_new_critic_says_zero_and_shares_nothing_with_the_policy(tiny, batch):
    tokens, _, _ = batch
    critic = Critic(tiny)
    values = critic(tokens.input_ids, tokens.attention_mask, tokens.columns)
    assert values.shape == tokens.mask.shape
    assert float(values.detach().abs().max()) == 0
    own = {parameter.data_ptr() for parameter in critic.parameters()}
    assert not own & {parameter.data_ptr() for parameter in tiny.model.parameters()}


@torch.no_grad()
def test_a_value_depends_on_what_came_before_its_token_and_not_on_the_token(tiny, batch):
    tokens, _, _ = batch
    critic = Critic(tiny)
    torch.nn.init.ones_(critic.head.weight)
    before = critic(tokens.input_ids, tokens.attention_mask, tokens.columns)
    changed = tokens.input_ids.clone()
    column = changed.shape[1] - tokens.columns + 2
    changed[2, column] = 6 if int(changed[2, column]) != 6 else 7
    after = critic(changed, tokens.attention_mask, tokens.columns)
    difference = (after - before)[2].abs()
    assert float(difference[:3].max()) == 0
    assert float(difference[3]) > 1e-4


@torch.no_grad()
def test_values_do_not_depend_on_padding(tiny, batch):
    tokens, _, _ = batch
    critic = Critic(tiny)
    torch.nn.init.ones_(critic.head.weight)
    whole = critic(tokens.input_ids, tokens.attention_mask, tokens.columns)
    found = critic(F.pad(tokens.input_ids, (5, 0), value=7), F.pad(tokens.attention_mask, (5, 0)), tokens.columns)
    assert float(((found - whole) * tokens.mask).abs().max()) < 1e-4
