"""BLEU and chrF of single completions, against sacreBLEU's own and its published unit cases."""

import json
import os
from pathlib import Path

import pytest
import sacrebleu

import rlbench
from rlbench.errors import InputError
from rlbench.graders.overlap import bleu, chrf
from rlbench.records import Candidate, Sample, Unscored

DATA = Path(os.environ.get("RLBENCH_DATA_DIR") or Path(rlbench.__file__).parents[2] / "shared" / "data")
CASES = DATA / "sacrebleu_cases" / "cases.jsonl"
REFERENCES = ("The cat sat on the mat.", "A cat was sitting on a mat, quietly.")
TEXTS = ("The cat sat on the mat.", "the Cat sat", "cat", "a mat, quietly. A cat", "dogs bark", "", "日本 Ünï 3.5")


def sentence(grader, text, references=REFERENCES):
    (judged,) = grader.grade([Candidate(Sample("s", "p", tuple(references)), text)])
    return judged.values["sentence"]


@pytest.mark.parametrize("references", [REFERENCES, REFERENCES[:1]], ids=["two", "one"])
@pytest.mark.parametrize("text", TEXTS)
def test_equal_to_the_sentence_scores_of_sacrebleu(text, references):
    expected = sacrebleu.sentence_bleu(text, list(references), smooth_method="exp", use_effective_order=True).score
    assert sentence(bleu(), text, references) == pytest.approx(expected / 100, abs=1e-12)
    for options in ({}, {"word_order": 2}, {"char_order": 4, "beta": 1}):
        expected = sacrebleu.sentence_chrf(text, list(references), **options).score
        assert sentence(chrf(**options), text, references) == pytest.approx(expected / 100, abs=1e-12)


@pytest.mark.parametrize("factory", [bleu, chrf])
def test_identity_is_one_and_nothing_in_common_is_zero(factory):
    assert sentence(factory(), REFERENCES[1]) == 1
    assert sentence(factory(), "z") == 0
    assert sentence(factory(lowercase=True), REFERENCES[1].upper()) == 1
    assert sentence(factory(), REFERENCES[1].upper()) < 0.5


def test_short_completions_are_scored_by_what_they_have():
    assert sentence(bleu(), "the cat", ["the cat"]) == 1
    assert 0 < sentence(bleu(), "cat", ["the cat"]) < 1


def test_chrf_columns_are_the_same_for_all_options():
    assert chrf().columns == chrf(word_order=2, char_order=1).columns
    (judged,) = chrf(char_order=2).grade([Candidate(Sample("s", "p", ("abc",)), "abd")])
    values = {name: value for name, value in judged.values.items() if value}
    expected = {"char1_hyp": 3, "char1_ref": 3, "char1_match": 2, "char2_hyp": 2, "char2_ref": 2, "char2_match": 1}
    assert values == pytest.approx(expected | {"beta": 2, "sentence": (2 / 3 + 1 / 2) / 2})


def test_chrf_without_references_is_unscored():
    assert chrf().grade([Candidate(Sample("s", "p"), "x")]) == [Unscored("the sample has no references")]


@pytest.mark.parametrize("options", [{"char_order": 7}, {"word_order": 3}, {"beta": 0}, {"beta": 1.5}, {"space": True}])
def test_wrong_options_of_chrf(options):
    with pytest.raises(InputError, match=next(iter(options))):
        chrf(**options)


@pytest.mark.skipif(not CASES.is_file(), reason=f"needs the public data set sacrebleu_cases in {DATA}")
def test_sentence_cases_of_sacrebleu():
    compared = 0
    for case in map(json.loads, CASES.read_text(encoding="utf-8").splitlines()):
        if (case["metric"], case["level"], case.get("smooth_method")) != ("bleu", "sentence", "exp"):
            continue  # chrF's are with epsilon smoothing, which is not offered
        options = {key: case[key] for key in ("tokenize", "lowercase")}
        (references,) = zip(*case["refs"], strict=True)
        found = sentence(bleu(**options), case["hyps"][0], references)
        assert found == pytest.approx(case["expected"] / 100, abs=5e-6), case["id"]
        compared += 1
    assert compared == 5
