"""A real pretrained model against an independent float64 forward pass and llama2.c's published text."""

import json

import pytest
import torch

from rlbench.policies.generation import generate
from rlbench.policies.padding import token_batch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cases(stories_oracle):
    return json.loads(stories_oracle.read_text(encoding="utf-8"))["cases"]


def test_token_ids_are_those_of_llama2c(stories, cases):
    assert len(cases) == 3
    for case in cases:
        assert stories.encode_prompt(case["text"]) == case["tokens"]


def test_negative_log_likelihoods_of_every_token(stories, cases):
    # all texts in one batch: the prompt is the first token, the rest the completion
    batch = token_batch([case["tokens"][:1] for case in cases], [case["tokens"][1:] for case in cases], 0, CPU)
    with torch.no_grad():
        found = -stories.logprobs(batch.input_ids, batch.attention_mask, batch.columns)
    for row, case in enumerate(cases):
        expected = torch.tensor(case["token_nll"])
        assert float((found[row, : len(expected)] - expected).abs().max()) < 1e-4


@pytest.mark.parametrize("start", [1, 7])
def test_a_text_cut_anywhere_gives_the_same_likelihoods(stories, cases, start):
    for case in cases[:2]:
        batch = token_batch([case["tokens"][:start], [1]], [case["tokens"][start:], [5]], 0, CPU)
        with torch.no_grad():
            found = -stories.logprobs(batch.input_ids, batch.attention_mask, batch.columns)
        expected = torch.tensor(case["token_nll"][start - 1 :])
        assert float((found[0] - expected).abs().max()) < 1e-4


def test_greedy_text_is_the_published_one(stories, stories_oracle):
    expected = json.loads(stories_oracle.read_text(encoding="utf-8"))["greedy_bos_256"]
    prompt = stories.encode_prompt("")
    (found,) = generate(stories, [prompt], 1, 256, 1e-6, torch.Generator().manual_seed(0))
    assert stories.decode(found.tokens) == expected
    assert len(found.tokens) == 256
    assert found.truncated


def test_stories_end_at_the_beginning_token(stories):
    assert stories.stop_token_ids == (1, 2)
    prompts = [stories.encode_prompt("Once upon a time")]
    completions = generate(stories, prompts, 8, 500, 1.0, torch.Generator().manual_seed(1))
    ended = [completion.tokens for completion in completions if not completion.truncated]
    assert len(ended) >= 4
    assert {tokens[-1] for tokens in ended} == {1}


def test_an_encoded_completion_continues_the_prompts_text_wherever_it_is_cut(stories):
    # the tokenizer puts a space before every text it is given; inside a text that would be a space too many
    text = 'One day, Lily said,\n"I\'m  sad".\n\nShe ran 12 é.'
    for cut in range(len(text)):
        tail = stories.encode_completion(text[:cut], text[cut:])
        assert tail[-1] == stories.stop_token_id
        assert stories.decode(stories.encode_prompt(text[:cut]) + tail[:-1]) == text


def test_saving_and_loading_keeps_every_bit(stories, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stories.save(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("Once upon a time, a <s> fish", return_tensors="pt")["input_ids"]
    assert ids[0].tolist() == stories.encode_prompt("Once upon a time, a <s> fish")
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, stories.model(input_ids=ids).logits)
