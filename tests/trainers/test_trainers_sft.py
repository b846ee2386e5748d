"""Supervised fine-tuning: completion tokens only, resumable, reproducible."""

import itertools
import math

import pytest
import torch

from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.errors import Diverged, InputError
from rlbench.policies.tiny import build_tiny
from rlbench.trainers.sft import Demonstrations, fine_tune

PAIRS = [("a", "bb"), ("abc", "d"), ("dd", "cab"), ("ba", "a"), ("c", "ddcb")]


@pytest.fixture
def policy():
    return lambda: build_tiny(["abcd"], hidden_size=16, layers=1, heads=2, max_positions=16, seed=0)


def demonstrations(**changes):
    return Demonstrations(
        **{"pairs": PAIRS, "epochs": 4, "batch_size": 2, "learning_rate": 2e-2, "task": "t", **changes}
    )


def train(policy, folder, data=None, on_step=lambda *_: None):
    curve = fine_tune(policy, data or demonstrations(), Checkpoints(folder), on_step)
    return b"".join(parameter.detach().numpy().tobytes() for parameter in policy.model.parameters()), curve


def test_the_loss_is_transformers_own_on_completion_tokens_only(policy, tmp_path):
    losses, reference = [], policy()
    train(policy(), tmp_path, demonstrations(epochs=1, batch_size=5), lambda step, total, loss: losses.append(loss))
    rows = [reference.encode_prompt(prompt) + reference.encode_completion(prompt, tail) for prompt, tail in PAIRS]
    summed, tokens = 0.0, 0
    for (prompt, tail), ids in zip(PAIRS, rows, strict=True):
        labels = [-100] * (1 + len(prompt)) + ids[1 + len(prompt) :]
        with torch.no_grad():
            mean = reference.model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
        summed, tokens = summed + float(mean) * (len(tail) + 1), tokens + len(tail) + 1
    assert losses == [pytest.approx(summed / tokens, rel=1e-5)]


def test_what_the_prompts_say_is_not_learnt(policy, tmp_path):
    # "d" occurs in prompts only; were prompts trained on, it would become likely after "a"
    def chance(model):
        with torch.no_grad():
            return torch.softmax(model.model(input_ids=torch.tensor([model.encode_prompt("a")])).logits[0, -1], -1)

    pairs = [("adadadad", "b")] * 8
    trained = policy()
    train(trained, tmp_path, demonstrations(pairs=pairs, epochs=20))
    d = trained.encode_prompt("d")[-1]
    assert float(chance(trained)[d]) < 2 * float(chance(policy())[d])


def test_it_learns_the_demonstrations(policy, tmp_path):
    _, curve = train(policy(), tmp_path, demonstrations(epochs=40))
    assert curve[0]["loss"] > 1.5
    assert curve[-1]["loss"] < 0.5 * curve[0]["loss"]
    assert [row["epoch"] for row in curve] == list(range(1, 41))
    assert curve[-1]["step"] == 40 * math.ceil(5 / 2)


def test_interrupted_at_any_step(policy, tmp_path):
    class Crash(Exception):
        pass

    steps = []
    expected = train(policy(), tmp_path / "whole", on_step=lambda step, total, loss: steps.append((step, total)))
    assert steps == [(step, 12) for step in range(1, 13)]
    for at in range(1, 12):
        folder = tmp_path / str(at)

        def stop(step, total, loss, at=at):
            if step == at:
                raise Crash

        with pytest.raises(Crash):
            train(policy(), folder, on_step=stop)
        assert train(policy(), folder) == expected


def test_a_damaged_checkpoint_falls_back_to_an_earlier_one(policy, tmp_path, capsys):
    expected = train(policy(), tmp_path / "whole")
    train(policy(), tmp_path / "damaged")
    newest = max((tmp_path / "damaged").glob("checkpoint-*"))
    data = bytearray((newest / "tensors").read_bytes())
    data[-5] ^= 4
    (newest / "tensors").write_bytes(bytes(data))
    assert train(policy(), tmp_path / "damaged") == expected
    assert "damaged checkpoint removed" in capsys.readouterr().err


def test_the_same_bytes_every_time_and_others_for_another_task(policy, tmp_path):
    torch.manual_seed(1)
    first = train(policy(), tmp_path / "1")
    torch.manual_seed(2)
    assert train(policy(), tmp_path / "2") == first
    assert train(policy(), tmp_path / "3", demonstrations(task="u"))[0] != first[0]


def test_every_epoch_visits_every_demonstration_once(policy, tmp_path, monkeypatch):
    from rlbench.trainers import sft

    seen, original = [], sft.token_batch

    def recording(prompts, completions, *rest):
        seen.append([tuple(prompt) + tuple(tail) for prompt, tail in zip(prompts, completions, strict=True)])
        return original(prompts, completions, *rest)

    monkeypatch.setattr(sft, "token_batch", recording)
    train(policy(), tmp_path)
    epochs = [[*itertools.chain(*seen[start : start + 3])] for start in range(0, 12, 3)]
    assert all(sorted(epoch) == sorted(epochs[0]) and len(set(epoch)) == 5 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1, "the order changes between epochs"


def test_exploding_weights_are_divergence(policy, tmp_path):
    steps = []
    with pytest.raises(Diverged) as caught:
        train(policy(), tmp_path, demonstrations(learning_rate=1e30), lambda step, *_: steps.append(step))
    assert caught.value.step == len(steps)
    assert f"at step {caught.value.step}" in str(caught.value)


def test_a_demonstration_that_does_not_fit_the_context_is_refused(policy, tmp_path):
    with pytest.raises(InputError, match="the longest demonstration needs 17 tokens, more than the 16"):
        train(policy(), tmp_path, demonstrations(pairs=[("a", "b" * 14)]))  # with the beginning and the stop token
    train(policy(), tmp_path, demonstrations(pairs=[("a", "b" * 13)], epochs=1))
