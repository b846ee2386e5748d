"""Reward models of every kind: built from a policy, decoders and encoders, one output or several."""

import json

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
)

from rlbench.errors import InputError
from rlbench.policies.causal_lm import load_policy
from rlbench.policies.reward_model import build_reward_model, load_reward_model
from rlbench.policies.tiny import build_tiny
from rlbench.records import Chat, Message

CPU = torch.device("cpu")
TEXTS = [("ab", "cd"), ("a", ""), ("dcba" * 4, "abab"), ("b", "a" * 20), ("ccc", "d")]


def tiny(**changes):
    return build_tiny(
        ["abcd"], **{"hidden_size": 16, "layers": 2, "heads": 2, "max_positions": 40, "seed": 0, **changes}
    )


@pytest.fixture
def model():
    return build_reward_model(tiny(), 1)


@torch.no_grad()
def test_a_built_model_is_a_linear_layer_on_the_policys_last_hidden_state(model):
    policy = tiny()
    for prompt, completion in TEXTS:
        ids = policy.encode_prompt(prompt) + policy.encode_completion(prompt, completion)
        assert model.encode(prompt, completion).ids == ids
        hidden = policy.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0, -1]
        wanted = float(hidden @ model.model.score.weight[0])
        assert model.rewards([(prompt, completion)]) == [pytest.approx(wanted, abs=1e-5)]


def test_the_head_is_normal_with_variance_one_over_hidden_size_plus_one_and_follows_the_seed():
    wide = tiny(hidden_size=1024, layers=1)
    heads = [build_reward_model(wide, seed).model.score.weight.detach() for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert float(heads[0].var() * 1025) == pytest.approx(1, abs=4 * (2 / 1024) ** 0.5)


def test_building_leaves_the_policy_as_it_was_and_shares_no_weights():
    policy = tiny()
    before = policy.model.model.embed_tokens.weight.clone()
    model = build_reward_model(policy, 0)
    with torch.no_grad():
        model.model.model.embed_tokens.weight += 1
    assert torch.equal(policy.model.model.embed_tokens.weight, before)


@torch.no_grad()
def test_transformers_loads_what_is_saved_and_says_the_same_but_for_the_offset(model, tmp_path):
    model.centre(TEXTS)
    assert sum(model.rewards(TEXTS)) == pytest.approx(0, abs=1e-5)
    model.save(tmp_path)
    again = load_reward_model(tmp_path, CPU)
    assert again.rewards(TEXTS) == model.rewards(TEXTS)
    theirs, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(tmp_path),
        AutoTokenizer.from_pretrained(tmp_path),
    )
    ids = [again.encode(*text).ids for text in TEXTS]
    batch = tokenizer.pad({"input_ids": ids}, return_tensors="pt", padding_side="right")
    said = theirs(batch["input_ids"], attention_mask=batch["attention_mask"]).logits.squeeze(-1)
    offset = json.loads((tmp_path / "config.json").read_text())["reward_offset"]
    assert offset == model.offset != 0
    assert (said - offset).tolist() == pytest.approx(model.rewards(TEXTS), abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_a_reward_does_not_depend_on_what_is_judged_beside_it(model, batch_size):
    together = model.rewards(TEXTS, batch_size)
    assert model.rewards(TEXTS[::-1], batch_size) == together[::-1]
    assert [model.rewards([text], batch_size)[0] for text in TEXTS] == together
    assert len(set(together)) == len(TEXTS)


def test_a_long_text_loses_the_beginning_of_its_prompt_and_then_that_of_the_completion(model):
    whole = build_reward_model(tiny(max_positions=400), 1)
    for prompt, completion in [("abcd" * 20, "dd"), ("a" * 300, "bcbc"), ("d", "abc" * 40)]:
        ids = whole.encode(prompt, completion).ids
        assert len(ids) > 40
        cut = model.encode(prompt, completion).ids
        assert cut == ids[:1] + ids[-39:]
        assert len(model.rewards([(prompt, completion)])) == 1


def test_a_padding_token_that_ends_texts_is_not_taken_for_the_classifier(tmp_path):
    policy = tiny()
    policy.tokenizer.pad_token = policy.tokenizer.eos_token
    model = build_reward_model(policy, 0)
    assert policy.tokenizer.pad_token == policy.tokenizer.eos_token
    ids = torch.tensor([model.encode("ab", "cd").ids])
    with torch.no_grad():  # transformers reads the last token that is no padding: it must be the end token
        theirs = model.model(input_ids=ids).logits.squeeze(-1)
    assert torch.allclose(theirs, model.scores(ids, torch.ones_like(ids)), atol=1e-6)


def test_a_chat_goes_through_the_template_and_a_text_does_not(model):
    chat = Chat([Message("user", "ab")])
    plain = model.encode(chat, "cd").ids
    model.tokenizer.chat_template = (
        "{% for m in messages %}{{ 'a' if m.role == 'user' else 'b' }}{{ m.content }}{% endfor %}"
    )
    ids = model.encode(chat, "cd").ids
    assert model.tokenizer.decode(ids) == "aabbcd"
    assert ids != plain
    assert model.encode(str(chat), "cd").ids == plain


def test_a_policy_without_a_sequence_classifier_is_told(monkeypatch):
    policy = tiny()
    policy.model.config.model_type = "unheard-of"

    def refuse(config):
        raise ValueError("Unrecognized configuration class")

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_config", refuse)
    with pytest.raises(InputError, match=r"'unheard-of'.*no sequence classifier"):
        build_reward_model(policy, 0)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Makes the folder of a tiny BERT with so many labels."""
    made = {}

    def make(labels, **config):
        name = (labels, *sorted(config))
        if name not in made:
            folder = tmp_path_factory.mktemp("encoder")
            words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcd"]
            (folder / "vocab.txt").write_text("\n".join(words) + "\n")
            tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=24)
            torch.manual_seed(0)
            shape = {
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 32,
                "initializer_range": 0.5,
            }
            model = BertForSequenceClassification(
                BertConfig(vocab_size=9, max_position_embeddings=24, num_labels=labels, **shape, **config)
            ).eval()
            torch.nn.init.normal_(model.classifier.weight)
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            made[name] = folder
        return made[name]

    return make


WORDS = [("a b", "c d"), ("a", "b"), ("d c b a d c", "a b a b a b")]


@torch.no_grad()
def test_an_encoder_reads_prompt_and_completion_as_a_pair_through_its_own_forward_pass(encoder):
    folder = encoder(1)
    model = load_reward_model(folder, CPU)
    theirs, tokenizer = BertForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    wanted = [float(theirs(**tokenizer(*words, return_tensors="pt")).logits) for words in WORDS]
    assert model.rewards(WORDS) == pytest.approx(wanted, abs=1e-5)
    assert len({round(value, 3) for value in wanted}) == len(WORDS)


@torch.no_grad()
@pytest.mark.parametrize("label", ["good", 2])
def test_of_several_outputs_the_reward_is_the_log_odds_of_the_label(encoder, label):
    names = {0: "bad", 1: "middling", 2: "good"}
    folder = encoder(3, id2label=names, label2id={name: number for number, name in names.items()})
    model = load_reward_model(folder, CPU, label=label)
    theirs, tokenizer = BertForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    chances = [theirs(**tokenizer(*words, return_tensors="pt")).logits.softmax(-1)[0, 2] for words in WORDS]
    assert model.rewards(WORDS) == pytest.approx(torch.stack(chances).logit().tolist(), abs=1e-4)


@torch.no_grad()
def test_where_labels_do_not_exclude_each_other_the_reward_is_the_labels_own_log_odds(encoder):
    folder = encoder(2, problem_type="multi_label_classification")
    model = load_reward_model(folder, CPU, label=1)
    theirs, tokenizer = BertForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    chances = [theirs(**tokenizer(*words, return_tensors="pt")).logits.sigmoid()[0, 1] for words in WORDS]
    assert model.rewards(WORDS) == pytest.approx(torch.stack(chances).logit().tolist(), abs=1e-4)


def test_an_encoder_cuts_the_prompt_first_and_from_the_left(encoder):
    model = load_reward_model(encoder(1), CPU)
    prompt, completion = "d " * 10 + "a b c " * 8, "b a d c"
    found = model.encode(prompt, completion)
    text = model.tokenizer.decode(found.ids)
    assert len(found.ids) == 24
    assert text == "[CLS] " + " ".join((prompt.split())[-17:]) + " [SEP] b a d c [SEP]"
    assert found.segments == [0] * 19 + [1] * 5
    assert len(model.encode("a", "b " * 50).ids) == 24
    assert all(len(model.encode("a b", "b " * count).ids) == min(24, count + 5) for count in range(15, 25))


def test_which_output_is_the_reward_must_be_said_and_exist(encoder):
    with pytest.raises(InputError, match=r"3 outputs; expected one, or the option label.*2 \(good\)"):
        load_reward_model(encoder(3, id2label={0: "bad", 1: "middling", 2: "good"}, label2id={}), CPU)
    with pytest.raises(InputError, match=r"no label 'fine'; expected one of 0 \(bad\)"):
        load_reward_model(encoder(3, id2label={0: "bad", 1: "middling", 2: "good"}, label2id={}), CPU, label="fine")
    with pytest.raises(InputError, match=r"has one output.*leave label out"):
        load_reward_model(encoder(1), CPU, label="good")


def test_a_reward_model_of_the_real_pretrained_policy_is_what_transformers_computes(stories_folder, tmp_path):
    build_reward_model(load_policy(stories_folder, CPU), 0).save(tmp_path)
    model = load_reward_model(tmp_path, CPU)
    texts = [("Once upon a time", ", there was a dog."), ("The cat", " sat")]
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with torch.no_grad():
        wanted = [float(theirs(torch.tensor([model.encode(*text).ids])).logits) for text in texts]
    assert model.rewards(texts) == pytest.approx(wanted, abs=1e-5)
    assert len(set(wanted)) == 2
