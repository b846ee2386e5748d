"""A run that was interrupted anywhere ends with the same bytes as one that was not."""

import pytest

from rlbench.artifacts import checkpoints as checkpoints_module


def count_a(candidates):
    return [candidate.completion.count("a") / 4 for candidate in candidates]


def interrupted(lab, name, crash, **changes):
    with pytest.raises(crash):
        lab.loop(name, **changes).run()


def crashing_reward(crash, reward, at):
    """Raise at call number `at`; calls are counted over rollouts and dev evaluations."""
    calls = []

    def judge(candidates):
        calls.append(1)
        if len(calls) - 1 == at:
            raise crash
        return reward(candidates)

    return judge, calls


@pytest.mark.slow
def test_interrupted_at_any_optimizer_step(new_lab, name, crash, crash_at_step):
    changes = {"checkpoint_every": 2}
    with crash_at_step(None) as taken:
        expected = new_lab("whole").finish(new_lab("whole").loop(name, **changes))
    assert len(taken) >= 5
    for at in range(len(taken)):
        lab = new_lab(at)
        with crash_at_step(at, after=at % 2 == 0):
            interrupted(lab, name, crash, **changes)
        assert lab.finish(lab.loop(name, **changes)) == expected


@pytest.mark.slow
def test_interrupted_at_any_call_of_the_reward(new_lab, name, crash):
    counting, calls = crashing_reward(crash, count_a, None)
    expected = new_lab("whole").finish(new_lab("whole").loop(name, reward=counting))
    assert len(calls) >= 8
    for at in range(len(calls)):
        lab = new_lab(at)
        interrupted(lab, name, crash, reward=crashing_reward(crash, count_a, at)[0])
        assert lab.finish(lab.loop(name, reward=count_a)) == expected


def test_interrupted_again_and_again(new_lab, name, crash, crash_at_step):
    # every attempt survives a few optimizer steps more than the way back to its checkpoint
    with crash_at_step(None) as taken:
        expected = new_lab("whole").finish(new_lab("whole").loop(name))
    lab, attempts, survived = new_lab("storm"), 0, max(2, 2 * len(taken) // 5)
    while True:
        try:
            with crash_at_step(survived):
                found = lab.finish(lab.loop(name))
            break
        except crash:
            attempts += 1
        assert attempts < 10
    assert attempts >= 1
    assert found == expected


def test_interrupted_while_a_checkpoint_is_written(new_lab, name, crash, monkeypatch):
    expected = new_lab("whole").finish(new_lab("whole").loop(name))
    for at in range(2):
        lab, saved = new_lab(at), []

        def seal(*args, at=at, saved=saved, original=checkpoints_module.seal):
            saved.append(1)
            if len(saved) - 1 == at:
                raise crash
            original(*args)

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints_module, "seal", seal)
            interrupted(lab, name, crash)
        assert lab.finish(lab.loop(name)) == expected


def damage(folder):
    file = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_falls_back_to_an_earlier_one(new_lab, online, crash, crash_at_step, damaged, capsys):
    expected = new_lab("whole").finish(new_lab("whole").loop(online))
    lab = new_lab("damaged")
    with crash_at_step(None) as taken:
        new_lab("count").loop(online).run()
    with crash_at_step(len(taken) - 1):
        interrupted(lab, online, crash)
    kept = sorted(lab.folder.glob("checkpoint-*"))
    assert len(kept) == 2, "the newest two are kept"
    for folder in kept[-damaged:]:
        damage(folder)
    capsys.readouterr()
    assert lab.finish(lab.loop(online)) == expected
    told = capsys.readouterr().err
    assert told.count("damaged checkpoint removed") == damaged
    assert kept[-1].name in told


@pytest.mark.parametrize("purpose", ["checkpoint", "preferences", "*"])
def test_damaged_checkpoints_and_preferences_are_made_again(new_lab, crash, crash_at_step, purpose, capsys):
    changes = {"options": {"epochs": 4, "batch_size": 4}}
    expected = new_lab("whole").finish(new_lab("whole").loop("dpo", **changes))
    lab = new_lab("damaged")
    with crash_at_step(9):
        interrupted(lab, "dpo", crash, **changes)
    folders = list(lab.folder.glob(f"{purpose}-*"))
    assert folders
    for folder in folders:
        damage(folder)
    assert lab.finish(lab.loop("dpo", **changes)) == expected
    assert "damaged checkpoint removed" in capsys.readouterr().err


def test_preferences_are_drawn_once(lab, crash, crash_at_step):
    with crash_at_step(1):
        interrupted(lab, "dpo", crash)
    calls = []

    def reward(candidates):
        calls.append(len(candidates))
        return [0.0] * len(candidates)

    lab.loop("dpo", reward=reward, dev=[]).run()
    assert calls == []


def test_a_finished_run_started_again_repeats_only_what_follows_its_last_checkpoint(lab, online):
    first = lab.finish(lab.loop(online))
    calls = []

    def counting(candidates):
        calls.append(len(candidates))
        return count_a(candidates)

    assert lab.finish(lab.loop(online, reward=counting)) == first
    checkpoint, last = (row["step"] for row in first.curve[-2:])
    assert last == 5
    assert calls == [2] + [16] * (last - checkpoint) + [2], "dev, what the last update drew, dev at the end"


def test_the_weight_that_a_controller_has_set_survives_an_interruption(new_lab, crash, crash_at_step):
    expected = new_lab("whole").finish(new_lab("whole").loop("ppo-adaptive"))
    weights = [row["beta"] for row in expected.curve[:-1]]
    assert len(set(weights)) == len(weights), "the controller moves the weight after every batch"
    assert weights[0] == 0.1
    lab = new_lab("torn")
    with crash_at_step(14):  # two networks, two steps per batch: in the middle of the fourth batch
        interrupted(lab, "ppo-adaptive", crash)
    again = lab.finish(lab.loop("ppo-adaptive"))
    assert again.beta == expected.beta
    assert again == expected
