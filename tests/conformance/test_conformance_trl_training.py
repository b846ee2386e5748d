"""Planted rewards, end to end through TRL's own training loop: a reward for one letter at one place raises exactly
that, and equal seeds agree."""

import pytest
import torch

from rlbench.conformance.trl_library import build_config, library, quiet
from rlbench.policies.tiny import build_tiny

pytest.importorskip("trl", reason="needs the extra trl: pip install 'rlbench[trl]'")
pytestmark = pytest.mark.slow

PLACES = (0, 1, 2)
COMPLETIONS = 64


def only(tokens, token, place):
    """The token occurs once, at this place. Texts would not do: special tokens leave no trace in them."""
    return tokens.count(token) == 1 and tokens.index(token) == place


def train(place, seed, steps):
    from datasets import Dataset
    from trl import GRPOConfig

    policy = build_tiny(["abcdpq"], hidden_size=32, layers=1, heads=2, max_positions=12, seed=0)

    target = policy.tokenizer.convert_tokens_to_ids("a")

    def reward(completion_ids, **_):
        return [float(only(tokens, target, place)) for tokens in completion_ids]

    with quiet():
        config = build_config(
            GRPOConfig,
            {"max_steps": steps, "learning_rate": 1e-2, "seed": seed, "logging_strategy": "no"},
            per_device_train_batch_size=COMPLETIONS,
            num_generations=8,
            max_completion_length=3,
        )
        trainer = library().GRPOTrainer(
            model=policy.model,
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_dict({"prompt": ["p", "q", "pq", "qp"] * 16}),
            processing_class=policy.tokenizer,
        )
        trainer.train()
    return policy


@torch.no_grad()
def chance(policy, letter, place):
    """How often the letter stands at that place and nowhere else, in 2,000 completions of one prompt."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.tensor([policy.encode_prompt("p")]).repeat(2000, 1)
    start = ids.shape[1]
    for _ in PLACES:
        following = policy.model.eval()(input_ids=ids).logits[:, -1].softmax(-1)
        ids = torch.cat([ids, torch.multinomial(following, 1, generator=generator)], -1)
    target = policy.tokenizer.convert_tokens_to_ids(letter)
    rows = [_until_stop(row, policy.stop_token_id) for row in ids[:, start:].tolist()]
    return sum(only(tokens, target, place) for tokens in rows) / len(rows)


def _until_stop(tokens, stop):
    return tokens[: tokens.index(stop)] if stop in tokens else tokens


def bytes_of(policy):
    return b"".join(parameter.detach().numpy().tobytes() for parameter in policy.model.parameters())


@pytest.mark.parametrize("place", PLACES)
def test_trl_learns_one_letter_at_one_place_and_nothing_else(place):
    before = build_tiny(["abcdpq"], hidden_size=32, layers=1, heads=2, max_positions=12, seed=0)
    trained = train(place, seed=0, steps=100)
    assert chance(before, "a", place) < 0.15
    assert chance(trained, "a", place) > 0.6
    for other in {*PLACES} - {place}:
        assert chance(trained, "a", other) < 0.1
    assert chance(trained, "b", place) < 0.15


def test_equal_seeds_agree_and_different_seeds_differ():
    assert bytes_of(train(0, seed=1, steps=3)) == bytes_of(train(0, seed=1, steps=3))
    assert bytes_of(train(0, seed=1, steps=3)) != bytes_of(train(0, seed=2, steps=3))
