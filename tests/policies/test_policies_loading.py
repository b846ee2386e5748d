"""Saving, loading, text in and out, and every way in which loading goes wrong."""

import json
import re
import socket
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlbench.errors import InputError
from rlbench.policies.causal_lm import load_policy
from rlbench.policies.device import resolve_device
from rlbench.policies.tiny import build_tiny, character_tokenizer

CPU = torch.device("cpu")
TEXTS = ["Hello, world!\n", "12 + 30 = 42", "</s><pad>é 漢\t"]
CHARACTERS = sorted(set("".join(TEXTS)))
tokenizer = character_tokenizer(TEXTS)
repeatable = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@repeatable
@given(st.text(CHARACTERS) | st.sampled_from(["</s>", "a<s>", "<pad></s>"]).filter(lambda t: set(t) <= set(CHARACTERS)))
def test_characters_survive_a_round_trip(text):
    policy = replace(build_tiny(["a"], hidden_size=4, layers=1, heads=1, max_positions=8, seed=0), tokenizer=tokenizer)
    ids = policy.encode_prompt(text)
    assert len(ids) == 1 + len(text)
    assert policy.decode(ids) == text


@repeatable
@given(st.text(CHARACTERS), st.text(CHARACTERS))
def test_a_completion_is_the_rest_of_the_text_and_a_stop_token(prompt, completion):
    policy = replace(build_tiny(["a"], hidden_size=4, layers=1, heads=1, max_positions=8, seed=0), tokenizer=tokenizer)
    tail = policy.encode_completion(prompt, completion)
    assert policy.encode_prompt(prompt) + tail[:-1] == policy.encode_prompt(prompt + completion)
    assert tail[-1] == policy.stop_token_id == tokenizer.eos_token_id
    assert policy.decode(tail) == completion


def test_characters_never_seen_are_unknown_not_an_error(tiny):
    assert tiny.encode_prompt("aZb")[2] == tiny.tokenizer.unk_token_id
    assert tiny.decode(tiny.encode_prompt("aZb")) == "ab"


def test_the_same_seed_builds_the_same_policy_and_leaves_the_global_random_state_alone():
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    shape = {"hidden_size": 16, "layers": 1, "heads": 2, "max_positions": 16}
    one, same, other = (build_tiny(["abc"], **shape, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = [list(policy.model.parameters()) for policy in (one, same, other)]
    assert all(torch.equal(a, b) for a, b in zip(pairs[0], pairs[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(pairs[0], pairs[2], strict=True))
    assert one.parameters == sum(parameter.numel() for parameter in pairs[0])


def test_transformers_loads_what_a_policy_saved_and_says_the_same(tiny, saved):
    model = AutoModelForCausalLM.from_pretrained(saved)
    loaded = AutoTokenizer.from_pretrained(saved)
    ids = loaded("ab </s>gh", return_tensors="pt")["input_ids"]
    assert ids[0].tolist() == tiny.encode_prompt("ab </s>gh")
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, tiny.model(input_ids=ids).logits)
    assert model.generation_config.eos_token_id == [2]
    assert not any(path.suffix in (".bin", ".pt", ".pkl") for path in saved.iterdir())


def test_stop_tokens_survive_saving_and_can_be_chosen(tiny, tmp_path):
    replace(tiny, stop_token_ids=(5, 2)).save(tmp_path)
    assert load_policy(tmp_path, CPU).stop_token_ids == (5, 2)
    assert load_policy(tmp_path, CPU, stop_token_ids=[7]).stop_token_id == 7


def test_weights_are_loaded_in_float32_and_dropout_is_off(tiny, saved):
    half = {name: tensor.bfloat16() for name, tensor in load_file(saved / "model.safetensors").items()}
    save_file(half, saved / "model.safetensors", {"format": "pt"})
    edit(saved / "config.json", dtype="bfloat16", attention_dropout=0.5)
    policy = load_policy(saved, CPU)
    assert {parameter.dtype for parameter in policy.model.parameters()} == {torch.float32}
    assert not policy.model.training
    ids = torch.tensor([policy.encode_prompt("abc")])
    assert torch.equal(policy.model(input_ids=ids).logits, policy.model(input_ids=ids).logits)


def damage_weights(folder):
    (folder / "model.safetensors").write_bytes(b"garbage" * 100)


def cut_weights_off(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])


def pickle_weights(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def lose_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


DAMAGES = {
    "no folder": lambda folder: folder.rename(folder.with_name("elsewhere")),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "garbage for weights": damage_weights,
    "weights cut off": cut_weights_off,
    "pickled weights only": pickle_weights,
    "no config": lambda folder: (folder / "config.json").unlink(),
    "config is not JSON": lambda folder: (folder / "config.json").write_text("{"),
    "config is a list": lambda folder: (folder / "config.json").write_text("[]"),
    "config of unknown type": lambda folder: edit(folder / "config.json", model_type="nonesuch", architectures=["X"]),
    "config with text for a number": lambda folder: edit(folder / "config.json", num_hidden_layers="two"),
    "config of another width": lambda folder: edit(folder / "config.json", hidden_size=64),
    "no tokenizer": lose_tokenizer,
    "tokenizer is not JSON": lambda folder: (folder / "tokenizer.json").write_text("nope"),
    "tokenizer of another kind": lambda folder: (folder / "tokenizer.json").write_text('{"a": 1}'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_cannot_be_loaded_is_explained(saved, damage):
    damage(saved)
    with pytest.raises(InputError, match=re.escape(f"policy '{saved}' cannot be loaded: ")) as caught:
        load_policy(saved, CPU)
    assert "expected a folder (or hub id) with config.json, *.safetensors and a tokenizer" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_missing_are_never_made_up(saved):
    # transformers fills them with random numbers and only prints a table
    edit(saved / "config.json", num_hidden_layers=3)
    with pytest.raises(InputError, match=r"lack 9 of the weights that config\.json asks for, model\.layers\.2\."):
        load_policy(saved, CPU)


@pytest.mark.parametrize("part", ["tokenizer", "model"])
def test_code_that_comes_with_a_policy_is_neither_run_nor_asked_about(saved, tmp_path, part, monkeypatch):
    proof = tmp_path / "code-was-run"
    (saved / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass Evil: pass\n")
    if part == "tokenizer":
        edit(saved / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "evil.Evil"]}, tokenizer_class="Evil")
    else:
        names = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}
        edit(saved / "config.json", auto_map=names, model_type="evil")
    asked = []
    monkeypatch.setattr("builtins.input", lambda question="": asked.append(question) or "y")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_policy(saved, CPU)
    assert asked == []
    assert not proof.exists()


def test_a_policy_without_a_stop_token_says_how_to_set_one(saved):
    for name in ("generation_config.json", "config.json", "tokenizer_config.json"):
        edit(saved / name, eos_token_id=None, eos_token=None)
    with pytest.raises(InputError, match=r"names no end-of-sequence token; set base_policy\.stop_token_ids"):
        load_policy(saved, CPU)
    assert load_policy(saved, CPU, stop_token_ids=[2]).stop_token_id == 2


@pytest.mark.parametrize("stops", [[2, 13], [-1]])
def test_stop_tokens_outside_the_vocabulary_are_refused(saved, stops):
    with pytest.raises(InputError, match=r"stop token ids \[(13|-1)\] .* outside its vocabulary of 13 tokens"):
        load_policy(saved, CPU, stop_token_ids=stops)


def test_a_prompt_without_tokens_is_refused(tiny):
    class Silent:
        eos_token_id = None

        def __call__(self, text, add_special_tokens):
            return {"input_ids": []}

    with pytest.raises(InputError, match="has no tokens under this tokenizer; expected at least one"):
        replace(tiny, tokenizer=Silent()).encode_prompt("")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_asking_for_cuda_where_there_is_none_is_explained():
    with pytest.raises(InputError, match="expected a CUDA device, found none; use device: auto or cpu"):
        resolve_device("cuda")
    assert resolve_device("auto") == resolve_device("cpu") == CPU


def test_loading_a_folder_does_not_touch_the_network(saved, monkeypatch):
    def refuse(*args):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert load_policy(saved, CPU).parameters > 0
