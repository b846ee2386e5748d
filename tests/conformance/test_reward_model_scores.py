"""The reward model: a scalar head on the last token that is no padding, wherever the padding stands."""

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from rlbench.conformance.fixed import save_policy
from rlbench.errors import InputError
from rlbench.policies.reward_model import load_reward_model

CPU = torch.device("cpu")
SEQUENCES = [[1, 4, 5, 6, 2], [1, 7, 2], [1, 8, 9, 2]]


@pytest.fixture(scope="module")
def policy_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    save_policy(folder)
    return folder


@pytest.fixture(scope="module")
def folder(policy_folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("reward-model")
    model = AutoModelForSequenceClassification.from_pretrained(policy_folder, num_labels=1, dtype=torch.float32)
    with torch.no_grad():
        model.score.weight.copy_(torch.linspace(-1, 1, model.score.weight.numel()).view_as(model.score.weight))
    model.save_pretrained(target)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (target / name).write_bytes((policy_folder / name).read_bytes())
    return target


def padded(left, width):
    ids, mask = torch.zeros(3, width, dtype=torch.long), torch.zeros(3, width, dtype=torch.long)
    for row, sequence in enumerate(SEQUENCES):
        where = slice(width - len(sequence), width) if left else slice(0, len(sequence))
        ids[row, where], mask[row, where] = torch.tensor(sequence), 1
    return ids, mask


def test_scores_do_not_depend_on_side_or_length_of_the_padding(folder):
    model = load_reward_model(folder, CPU)
    alone = torch.cat([model.scores(torch.tensor([ids]), torch.ones(1, len(ids)).long()) for ids in SEQUENCES])
    assert alone.std() > 0.01
    for left in (True, False):
        for width in (5, 9):
            assert torch.allclose(model.scores(*padded(left, width)), alone, atol=1e-5)


def test_scores_are_those_of_transformers_and_change_with_the_last_token_alone(folder):
    model = load_reward_model(folder, CPU)
    ids, mask = padded(False, 6)
    theirs = model.model(input_ids=ids, attention_mask=mask).logits.squeeze(-1)
    assert torch.allclose(model.scores(ids, mask), theirs, atol=1e-5)
    other = ids.clone()
    other[0, 4] = 7
    moved = model.scores(other, mask) - model.scores(ids, mask)
    assert moved[0].abs() > 1e-3
    assert torch.equal(moved[1:], torch.zeros(2))


def test_a_language_model_is_no_reward_model(policy_folder):
    with pytest.raises(InputError, match=r"lack score.weight.*not a language model"):
        load_reward_model(policy_folder, CPU)


def test_a_classifier_with_several_outputs_is_refused(policy_folder, folder, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(policy_folder, num_labels=3, dtype=torch.float32)
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(InputError, match="3 outputs; expected one"):
        load_reward_model(tmp_path, CPU)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be loaded"):
        load_reward_model(tmp_path / "nothing", CPU)
