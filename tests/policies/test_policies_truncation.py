"""Prompts that are too long: refused by default, cut on the side that the experiment names."""

from dataclasses import replace

import pytest

from rlbench.policies.tiny import build_tiny


@pytest.fixture(scope="module")
def policy():
    return build_tiny(["abcdefgh"], hidden_size=16, layers=1, heads=2, max_positions=32, seed=0)


def cut(policy, limit, side, text):
    ids = replace(policy, max_prompt_tokens=limit, truncation_side=side).encode_prompt(text)
    return ids, policy.decode(ids)


@pytest.mark.parametrize(("side", "kept"), [("left", "efgh"), ("right", "abcd")])
def test_a_long_prompt_loses_tokens_on_the_named_side_and_keeps_its_beginning_token(policy, side, kept):
    ids, text = cut(policy, 5, side, "abcdefgh")
    assert len(ids) == 5
    assert ids[0] == policy.tokenizer.bos_token_id
    assert text == kept


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_prompt_within_the_limit_is_left_alone(policy, side):
    whole = policy.encode_prompt("abcd")
    assert cut(policy, len(whole), side, "abcd")[0] == whole
    assert cut(policy, 100, side, "abcd")[0] == whole


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_limit_of_one_token_leaves_the_beginning_token(policy, side):
    assert cut(policy, 1, side, "abcd")[0] == [policy.tokenizer.bos_token_id]


@pytest.mark.parametrize("side", ["left", "right"])
def test_cutting_the_prompt_does_not_touch_its_completion(policy, side):
    short = replace(policy, max_prompt_tokens=3, truncation_side=side)
    assert short.encode_completion("abcdef", "gh") == policy.encode_completion("abcdef", "gh")
