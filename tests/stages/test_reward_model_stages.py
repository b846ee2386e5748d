"""Pairs of the SFT policy or of people, and the reward models that are trained on them: sealed folder to folder."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rlbench.artifacts.call import Call, Circumstances
from rlbench.artifacts.files import read_json, read_jsonl
from rlbench.artifacts.identity import Identity
from rlbench.artifacts.run_folder import RunFolder
from rlbench.errors import InputError
from rlbench.execution.worker import make
from rlbench.graders.roles import as_reward, load_grader
from rlbench.policies.reward_model import load_reward_model
from rlbench.policies.tiny import build_tiny
from rlbench.records import Candidate, Chat, Message, Preference, Sample
from rlbench.stages import preference_pairs
from rlbench.statistics.agreement import wilson
from rlbench.tasks.task import load_task

torch.set_num_threads(1)

POLICY = {"dtype": "float32", "stop_token_ids": None, "max_prompt_tokens": None, "truncation_side": "left"}
GOLD = {"grader": "length", "column": "characters", "options": {}}
PAIRS = {"make": "pairs", "task": "digits", "labels": "gold", "pairs": 60, "held_out": 20, "noise": 0.0, "gold": GOLD}
PAIRS |= {"sampling": {"temperature": 1.0, "max_new_tokens": 4}, "seed": 0, "policy": POLICY}
MODEL = {"make": "reward_model", "members": 2, "epochs": 6, "batch_size": 8, "learning_rate": 1e-2, "margin": 0.0}
MODEL |= {"centre": True, "policy": POLICY}


def identity(name, inputs, config):
    return Identity("prepare", name, inputs, config, {"stage": 0})


@pytest.fixture
def stage(tmp_path, digits):
    """Makes results in a run folder that holds an untrained policy in the place of the SFT policy."""
    folder = RunFolder(tmp_path)
    sft = identity("sft", {}, {})
    draft = folder.partial(sft) / "result"
    draft.mkdir(parents=True)
    build_tiny(["A: 0123456789+="], hidden_size=16, layers=1, heads=2, max_positions=24, seed=0).save(draft / "model")
    folder.finish(sft, {})
    circumstances = Circumstances(device="cpu", task_paths={"digits": str(digits)})

    def run(name, inputs, config):
        wanted = identity(name, inputs, config)
        make(Call(wanted, folder, circumstances))
        return wanted, folder.path(wanted)

    def pairs(name="pairs", **changes):
        return run(name, {"sft": sft}, PAIRS | changes)

    def models(made, name="reward_model", **changes):
        return run(name, {"sft": sft, "pairs": made}, MODEL | changes)[1]

    return SimpleNamespace(pairs=pairs, models=models)


def rows(folder, part):
    return [row for row in read_jsonl(folder / "pairs.jsonl") if row["part"] == part]


def test_pairs_are_labelled_by_gold_and_no_prompt_is_in_both_parts(stage, digits):
    _, folder = stage.pairs()
    train, held_out = rows(folder, "train"), rows(folder, "held_out")
    assert (len(train), len(held_out)) == (60, 20)
    task = load_task(str(digits))
    assert {row["prompt"] for row in train} <= {sample.prompt for sample in task.samples("train")}
    assert {row["prompt"] for row in held_out} <= {sample.prompt for sample in task.samples("dev")}
    gold = as_reward(load_grader("length", {}), "characters")
    for row in train + held_out:
        values = gold([Candidate(Sample("x", row["prompt"]), row[side]) for side in ("chosen", "rejected")]).values
        assert (row["chosen_gold"], row["rejected_gold"]) == tuple(values)
        assert values[0] > values[1]
        assert not row["flipped"]
    facts = read_json(folder / "manifest.json")
    assert facts["completions"] == facts["gold_calls"]
    # whole batches were drawn: each pair of completions was a tie, is there, or was more than was asked for
    assert facts["completions"] / 2 >= 80 + facts["ties"]
    assert (facts["pairs"], facts["held_out"], facts["flipped"]) == (60, 20, 0)


def test_noise_turns_about_its_share_of_training_labels_round_and_nothing_else(stage):
    clean, noisy = (stage.pairs(name, noise=noise, pairs=200)[1] for name, noise in (("clean", 0.0), ("noisy", 0.3)))
    assert rows(noisy, "held_out") == rows(clean, "held_out")
    turned = 0
    for before, after in zip(rows(clean, "train"), rows(noisy, "train"), strict=True):
        if after["flipped"]:
            turned += 1
            assert (after["chosen"], after["chosen_gold"]) == (before["rejected"], before["rejected_gold"])
            assert after["chosen_gold"] < after["rejected_gold"]
        else:
            assert after == before
    assert abs(turned - 60) < 4 * (200 * 0.3 * 0.7) ** 0.5
    assert read_json(noisy / "manifest.json")["flipped"] == turned


def test_the_same_config_gives_the_same_pairs_and_another_seed_others(stage):
    texts = [
        (stage.pairs(name, seed=seed)[1] / "pairs.jsonl").read_bytes() for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert texts[0] == texts[1] != texts[2]


def test_drawing_goes_on_after_an_interruption_as_if_there_had_been_none(stage, monkeypatch):
    whole = (stage.pairs("whole")[1] / "pairs.jsonl").read_bytes()
    original, calls = preference_pairs.collect, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise RuntimeError("power cut")
        return original(*arguments)

    monkeypatch.setattr(preference_pairs, "collect", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        stage.pairs("parts")
    folder = stage.pairs("parts")[1]
    assert (folder / "pairs.jsonl").read_bytes() == whole
    taken = read_json(folder / "manifest.json")["completions"]
    assert len(calls) * 32 > taken > (len(calls) - 4) * 32  # 16 prompts a batch; what was drawn before was kept


def test_a_gold_reward_that_tells_nothing_apart_is_told_and_sampling_ends(stage):
    blind = {"grader": "pattern", "column": "matched", "options": {"pattern": "never"}}
    with pytest.raises(InputError, match=r"only 0 of 6 train pairs.*the same value twice"):
        stage.pairs(gold=blind, pairs=6)


def prompts_of(monkeypatch, admits=None, **splits):
    """The prompts of both parts for a task with these prompts by split."""
    samples = {name: [Sample(f"{name}-{n}", prompt) for n, prompt in enumerate(each)] for name, each in splits.items()}
    grader = SimpleNamespace(name="judge", admits=admits)
    monkeypatch.setattr(preference_pairs, "load_grader", lambda *_: grader)
    task = SimpleNamespace(name="words", splits=samples, samples=samples.get)
    parts = preference_pairs._prompts(task, {"gold": GOLD})
    return {part: [sample.prompt for sample in each] for part, each in parts.items()}


def test_a_prompt_that_is_trained_on_is_not_held_out_however_it_is_written(monkeypatch):
    parts = prompts_of(monkeypatch, train=["One apple", "two"], dev=["one  APPLE\n", "two", "three"])
    assert parts == {"train": ["One apple", "two"], "held_out": ["three"]}


def test_without_a_dev_split_the_last_fifth_of_the_training_prompts_is_held_out(monkeypatch):
    prompts = [f"word {number}" for number in range(10)]
    assert prompts_of(monkeypatch, train=prompts) == {"train": prompts[:8], "held_out": prompts[8:]}
    assert prompts_of(monkeypatch, train=prompts[:2]) == {"train": prompts[:1], "held_out": prompts[1:2]}


def test_prompts_that_gold_does_not_admit_are_left_out_of_both_parts(monkeypatch):
    def admits(samples):
        return ["no reference" if "bad" in sample.prompt else "" for sample in samples]

    parts = prompts_of(monkeypatch, admits, train=["a", "bad b"], dev=["bad c", "d"])
    assert parts == {"train": ["a"], "held_out": ["d"]}
    with pytest.raises(InputError, match="'judge' leaves no prompts for held_out pairs"):
        prompts_of(monkeypatch, admits, train=["a"], dev=["bad"])


def preferring(monkeypatch, given):
    original = preference_pairs.load_task

    def load(*arguments):
        task = original(*arguments)
        object.__setattr__(task, "preferences", lambda: tuple(given))
        return task

    monkeypatch.setattr(preference_pairs, "load_task", load)


def test_the_tasks_own_pairs_are_split_by_prompt(stage, monkeypatch):
    prompts = [*(f"{number}" for number in range(20)), Chat([Message("user", "1+1=")])]
    given = [Preference(prompt, f"{turn}", "0") for turn in range(3) for prompt in prompts]
    preferring(monkeypatch, given)
    _, folder = stage.pairs(labels="preferences", held_out=7)
    train, held_out = rows(folder, "train"), rows(folder, "held_out")
    assert len(held_out) == 7
    assert read_json(folder / "manifest.json")["ties"] == 21  # both texts are "0"
    assert len(train) in (42 - 8, 42 - 7)
    assert not {json.dumps(row["prompt"]) for row in train} & {json.dumps(row["prompt"]) for row in held_out}
    assert {row["chosen_gold"] for row in train + held_out} == {None}
    assert [{"role": "user", "content": "1+1="}] in [row["prompt"] for row in train + held_out]
    few = stage.pairs("few", labels="preferences", held_out=1000, pairs=10)[1]
    assert (len(rows(few, "train")), len(rows(few, "held_out"))) == (10, 10)  # a quarter of 42 at most


def test_one_prompt_cannot_be_split(stage, monkeypatch):
    preferring(monkeypatch, [Preference("1", "a", "b")] * 5)
    with pytest.raises(InputError, match=r"on 1 prompt\(s\), expected at least 2"):
        stage.pairs(labels="preferences")


def test_a_reward_model_learns_gold_and_its_agreement_is_what_its_held_out_rewards_say(stage):
    made, pairs = stage.pairs(pairs=100, held_out=60)
    folder = stage.models(made, epochs=4)
    held_out = rows(pairs, "held_out")
    models = [load_reward_model(folder / f"model-{member}", torch.device("cpu")) for member in range(2)]
    said = np.array(
        [
            [
                np.subtract(*model.rewards([(row["prompt"], row["chosen"]), (row["prompt"], row["rejected"])]))
                for model in models
            ]
            for row in held_out
        ]
    )
    written = read_jsonl(folder / "held_out.jsonl")
    assert [row["prompt"] for row in written] == [row["prompt"] for row in held_out]
    np.testing.assert_allclose(np.array([row["differences"] for row in written]), said, atol=1e-6)
    found = read_json(folder / "agreement.json")
    assert found["accuracy"] == np.mean(said.mean(1) > 0) > 0.8
    assert [member["value"] for member in found["members"]] == np.mean(said > 0, axis=0).tolist()
    assert found["low"] <= found["accuracy"] <= found["high"]
    low, high = wilson(found["accuracy"], 60)
    assert found["low"] <= low + 1e-9
    assert found["high"] >= high - 1e-9
    assert sum(each["count"] for each in found["calibration"]) == 60
    assert (found["pairs"], found["held_out"], found["labels"], found["noise"]) == (100, 60, "gold", 0.0)
    curve = read_jsonl(folder / "metrics.jsonl")
    assert [(row["member"], row["epoch"]) for row in curve] == [(m, e) for m in range(2) for e in range(1, 5)]


def test_rewards_of_the_training_texts_have_mean_zero_if_they_are_to_be_centred(stage):
    made, pairs = stage.pairs()
    texts = [(row["prompt"], row[side]) for row in rows(pairs, "train") for side in ("chosen", "rejected")]
    means = {}
    for centre in (True, False):
        folder = stage.models(made, f"centre-{centre}", centre=centre, members=1)
        rewards = load_reward_model(folder / "model-0", torch.device("cpu")).rewards(texts)
        means[centre] = float(np.mean(rewards))
    assert means[True] == pytest.approx(0, abs=1e-5)
    assert abs(means[False]) > 1e-3


def test_the_same_pairs_give_the_same_models_and_members_differ(stage):
    made, _ = stage.pairs()
    one, other = (stage.models(made, name, epochs=1) for name in ("one", "other"))
    weights = [
        (folder / f"model-{member}" / "model.safetensors").read_bytes()
        for folder in (one, other)
        for member in range(2)
    ]
    assert weights[:2] == weights[2:]
    assert weights[0] != weights[1]
