"""Positions count real tokens only. Rotary models cannot tell, so this takes one with absolute positions."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from rlbench.policies.causal_lm import load_policy, positions
from rlbench.policies.generation import generate
from rlbench.policies.padding import token_batch
from rlbench.policies.value_head import Critic

CPU = torch.device("cpu")
PROMPTS = ["ab", "h", "cde fgh", "a a a a a"]


@pytest.fixture
def absolute(tiny):
    config = GPT2Config(
        vocab_size=13, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2, pad_token_id=0
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return replace(tiny, model=model)


def test_positions_start_at_the_first_real_token():
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    found = positions(mask)
    assert [row[real.bool()].tolist() for row, real in zip(found, mask, strict=True)] == [
        [0, 1, 2],
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
    ]
    assert int(found.min()) >= 0
    assert int(found.max()) < 5


@torch.no_grad()
def test_left_padding_shifts_neither_log_probabilities_nor_values(absolute):
    prompts = [absolute.encode_prompt(text) for text in PROMPTS]
    tails = [[4, 5, 2], [7], [4, 4, 4, 4, 9], [11, 2]]
    batch = token_batch(prompts, tails, 0, CPU)
    critic = Critic(absolute)
    torch.nn.init.ones_(critic.head.weight)
    found = absolute.logprobs(batch.input_ids, batch.attention_mask, batch.columns)
    values = critic(batch.input_ids, batch.attention_mask, batch.columns)
    for row, (prompt, tail) in enumerate(zip(prompts, tails, strict=True)):
        logits = absolute.model(input_ids=torch.tensor([prompt + tail])).logits[0, len(prompt) - 1 : -1]
        expected = -F.cross_entropy(logits, torch.tensor(tail), reduction="none")
        torch.testing.assert_close(found[row, : len(tail)], expected, atol=1e-5, rtol=0)
        alone = token_batch([prompt], [tail], 0, CPU)
        expected = critic(alone.input_ids, alone.attention_mask, alone.columns)[0]
        torch.testing.assert_close(values[row, : len(tail)], expected, atol=1e-4, rtol=0)


def test_greedy_completions_do_not_depend_on_the_rest_of_the_batch(absolute):
    policy = replace(absolute, stop_token_ids=(2, 5))
    prompts = [policy.encode_prompt(text) for text in PROMPTS]
    whole = generate(policy, prompts, 2, 20, 1e-6, torch.Generator().manual_seed(0))
    for row, prompt in enumerate(prompts):
        reference = policy.model.generate(
            input_ids=torch.tensor([prompt]),
            do_sample=False,
            max_new_tokens=20,
            eos_token_id=[2, 5],
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        assert [list(completion.tokens) for completion in whole[2 * row : 2 * row + 2]] == [reference] * 2


def test_it_survives_saving_and_loading(absolute, tmp_path):
    absolute.save(tmp_path)
    loaded = load_policy(tmp_path, CPU)
    ids = torch.tensor([absolute.encode_prompt("abc")])
    with torch.no_grad():
        assert torch.equal(loaded.model(input_ids=ids).logits, absolute.model(input_ids=ids).logits)
