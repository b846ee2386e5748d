"""The grader of a reward model: an ensemble's mean, lowest and spread; each text is judged once."""

import math

import pytest
import torch

from rlbench.errors import InputError
from rlbench.graders.roles import as_reward, load_grader
from rlbench.policies.reward_model import RewardModel, build_reward_model, load_reward_model
from rlbench.policies.tiny import build_tiny
from rlbench.records import Candidate, Chat, Message, Sample

TEXTS = [("ab", "cd"), ("a", ""), ("dcba", "abab")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    policy = build_tiny(["abcd"], hidden_size=16, layers=1, heads=2, max_positions=40, seed=0)
    found = [tmp_path_factory.mktemp("models") / f"model-{seed}" for seed in range(3)]
    for seed, folder in enumerate(found):
        build_reward_model(policy, seed).save(folder)
    return [str(folder) for folder in found]


def candidates(texts=TEXTS):
    return [Candidate(Sample(str(row), prompt), completion) for row, (prompt, completion) in enumerate(texts)]


def test_the_columns_are_mean_lowest_and_standard_deviation_over_the_members(folders):
    models = [load_reward_model(folder, torch.device("cpu")) for folder in folders]
    rewards = torch.tensor([model.rewards(TEXTS) for model in models], dtype=torch.float64)
    grader = load_grader("reward_model", {"paths": folders})
    judged = grader.grade(candidates())
    assert grader.columns == ("reward", "lowest", "spread")
    for column, wanted in (("reward", rewards.mean(0)), ("lowest", rewards.min(0).values), ("spread", rewards.std(0))):
        assert [each.values[column] for each in judged] == pytest.approx(wanted.tolist(), abs=1e-9)


def test_a_single_model_has_no_spread_and_can_be_the_reward(folders):
    grader = load_grader("reward_model", {"paths": folders[:1]})
    for each in grader.grade(candidates()):
        assert each.values["reward"] == each.values["lowest"]
        assert math.isnan(each.values["spread"])
    found = as_reward(grader, "reward")(candidates())
    assert list(found.values) == [each.values["reward"] for each in grader.grade(candidates())]
    with pytest.raises(InputError, match="its value is nan"):
        as_reward(grader, "spread")(candidates())


def test_a_text_is_judged_once_and_a_chat_is_not_the_text_that_it_makes(folders, monkeypatch):
    asked = []
    original = RewardModel.rewards
    monkeypatch.setattr(
        RewardModel, "rewards", lambda self, texts, size: asked.append(texts) or original(self, texts, size)
    )
    grader = load_grader("reward_model", {"paths": folders[:2], "batch_size": 4})
    first = grader.grade(candidates([*TEXTS, TEXTS[0]]))
    assert first[0] == first[3]
    again = grader.grade(candidates([TEXTS[2], ("b", "b")]))
    assert again[0].values == first[2].values
    assert asked == [TEXTS, TEXTS, [("b", "b")], [("b", "b")]]
    chat = Chat([Message("user", "b")])
    grader.grade(candidates([(chat, "b"), (str(chat), "b")]))
    assert len(asked[-1]) == 2


def test_it_says_the_same_in_any_order_and_company(folders):
    judged = load_grader("reward_model", {"paths": folders}).grade(candidates())
    for part in ([0], [2, 1], [1, 0, 2]):
        fresh = load_grader("reward_model", {"paths": folders})
        found = fresh.grade(candidates([TEXTS[row] for row in part]))
        assert [each.values for each in found] == [judged[row].values for row in part]


def test_without_a_model_it_can_be_made_but_not_asked():
    grader = load_grader("reward_model", {})
    assert grader.columns == ("reward", "lowest", "spread")
    with pytest.raises(InputError, match=r"no reward model: give paths or hub.*docs/reward_model.md"):
        grader.grade(candidates())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": ["a"], "hub": "b/c"}, "expected paths or hub, got both"),
        ({"revision": "1"}, "expected hub beside it"),
        ({"path": "a"}, "unknown option 'path'"),
        ({"batch_size": 0}, "batch_size"),
        ({"paths": "folder"}, "paths"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(InputError, match=message):
        load_grader("reward_model", options)


def test_its_options_make_it_again(folders):
    grader = load_grader("reward_model", {"paths": folders, "label": None})
    assert load_grader("reward_model", grader.options).options == grader.options


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be loaded"):
        load_grader("reward_model", {"paths": [str(tmp_path / "nothing")]}).grade(candidates())
