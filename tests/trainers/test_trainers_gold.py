"""Gold is measured beside the reward and never learnt from: a run with it is the same but for its columns."""

import pytest

from rlbench.records import Rewards

GOLD_COLUMNS = {"gold_mean", "dev_gold"}


def hate_a(candidates):
    """The opposite of what the reward of these runs likes."""
    return Rewards([-1.0 - 3 * candidate.completion.count("a") for candidate in candidates])


def without_gold(curve):
    return [{name: value for name, value in row.items() if name not in GOLD_COLUMNS} for row in curve]


def bill(totals):
    """What the budget and the cost report count, without the phase in which gold judges."""
    return totals | {"phases": {name: tokens for name, tokens in totals["phases"].items() if name != "gold"}}


@pytest.mark.parametrize("name", ["grpo", "dapo", "online_dpo", "dpo"])
def test_training_is_the_same_with_a_gold_reward_that_contradicts_the_reward(new_lab, name):
    plain, measured = (
        new_lab(f"{name} {gold}").finish(new_lab(f"{name} {gold}").loop(name, gold=gold)) for gold in (None, hate_a)
    )
    assert measured.weights == plain.weights
    assert measured.digest == plain.digest
    assert measured.totals["reward_calls"] == plain.totals["reward_calls"]
    assert bill(measured.totals) == bill(plain.totals)
    assert without_gold(measured.curve) == plain.curve
    assert not any(GOLD_COLUMNS & row.keys() for row in plain.curve)


@pytest.mark.parametrize("name", ["grpo", "dpo"])
def test_the_curve_has_gold_beside_every_reward(lab, name):
    curve = lab.finish(lab.loop(name, gold=hate_a)).curve
    for reward, gold in (("reward_mean", "gold_mean"), ("dev_reward", "dev_gold")):
        rows = [row for row in curve if row.get(reward) is not None]
        assert rows
        for row in rows:
            assert row[gold] == pytest.approx(-1 - 12 * row[reward])  # the reward is a quarter of the number of a's
        assert all(row.get(gold) is None for row in curve if row.get(reward) is None)
