import math

import pytest

from rlbench.errors import InputError
from rlbench.graders.diversity import diversity
from rlbench.graders.length import length
from rlbench.graders.likelihood import likelihood
from rlbench.graders.overlap import bleu, rouge
from rlbench.graders.pattern import pattern
from rlbench.records import Candidate, Sample, Scored, Unscored


def candidates(*completions, sample_id="s", references=()):
    return [Candidate(Sample(sample_id, "p", references), text, k) for k, text in enumerate(completions)]


def values(judgements, column):
    return [judgement.values[column] for judgement in judgements]


def test_pattern():
    texts = candidates("a cat", "A Cat", "scatter", "")
    assert values(pattern(pattern=r"\bcat\b").grade(texts), "matched") == [1, 0, 0, 0]
    assert values(pattern(pattern=r"\bcat\b", ignore_case=True).grade(texts), "matched") == [1, 1, 0, 0]
    assert pattern(pattern="x").options == {"pattern": "x", "ignore_case": False}


@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        (pattern, {}, "option 'pattern' is missing"),
        (pattern, {"pattern": "("}, "is not a regular expression"),
        (pattern, {"pattern": "a{99999999999}"}, "is not a regular expression"),
        (pattern, {"pattern": "(?:" * 3000 + ")" * 3000}, "is not a regular expression"),
        (pattern, {"pattern": ""}, "option 'pattern'"),
        (pattern, {"pattern": "x", "ignore_case": "yes"}, "option 'ignore_case'"),
        (pattern, {"pattern": "x", "case": True}, "unknown option 'case' (options: ignore_case, pattern)"),
        (rouge, {"references": "median"}, "option 'references'"),
        (bleu, {"tokenize": "14a"}, "tokenize '14a' does not exist (known: 13a, "),
        (diversity, {"unit": "tokens"}, "option 'unit'"),
        (length, {"unit": "tokens"}, "unknown option 'unit' (options: none)"),
        (likelihood, {"unit": "tokens"}, "unknown option 'unit'"),
    ],
)
def test_wrong_options(factory, options, message):
    with pytest.raises(InputError) as caught:
        factory(**options)
    assert message in str(caught.value)


def test_diversity_of_a_prompt_stands_with_each_of_its_completions():
    # 6 words of which 4 are distinct; 3 pairs (no pair crosses completions) of which 2 are distinct.
    texts = candidates("a b", "a b c", "d")
    other = candidates("x x x x", sample_id="t")
    judged = diversity().grade([texts[0], *other, *texts[1:]])
    assert values([judged[0], *judged[2:]], "distinct1") == [4 / 6] * 3
    assert values([judged[0], *judged[2:]], "distinct2") == [2 / 3] * 3
    assert (judged[1].values["distinct1"], judged[1].values["distinct2"]) == (1 / 4, 1 / 3)


def test_diversity_extremes():
    same, different = diversity().grade(candidates("a a a a")), diversity().grade(candidates("a b c d"))
    assert same[0].values == {"distinct1": 1 / 4, "distinct2": 1 / 3}
    assert different[0].values == {"distinct1": 1.0, "distinct2": 1.0}


def test_diversity_of_texts_too_short():
    empty = diversity().grade(candidates("", " "))
    assert empty == [Unscored("all completions of the prompt are empty")] * 2
    short = diversity().grade(candidates("", "85"))
    assert values(short, "distinct1") == [1, 1]
    assert all(math.isnan(value) for value in values(short, "distinct2"))


def test_diversity_of_characters():
    assert diversity(unit="characters").grade(candidates("ab a"))[0].values == {"distinct1": 2 / 3, "distinct2": 1.0}


def test_length():
    sample = Sample("s", "p")
    measured, foreign = length().grade(
        [Candidate(sample, "zwei Wörter", 0, {"tokens": 5.0, "truncated": 1.0}), Candidate(sample, "zwei Wörter")]
    )
    assert measured == Scored({"tokens": 5.0, "words": 2.0, "characters": 11.0, "truncated": 1.0})
    assert (foreign.values["words"], foreign.values["characters"]) == (2, 11)
    assert math.isnan(foreign.values["tokens"])
    assert math.isnan(foreign.values["truncated"])


def test_likelihood():
    sample = Sample("s", "p")
    everything = {"logprob": -3.0, "sft_logprob": -5.0, "tokens": 4.0}
    everything |= {"reference_nll": 7.0, "reference_tokens": 3.0, "reference_bytes": 9.0}
    full, policy_only, nothing = likelihood().grade(
        [
            Candidate(sample, "x", 0, everything),
            Candidate(sample, "x", 1, {"reference_nll": 7.0}),
            Candidate(sample, "x"),
        ]
    )
    assert full == Scored({"kl_nats": 2.0, "reference_nll": 7.0, "reference_tokens": 3.0, "reference_bytes": 9.0})
    assert policy_only.values["reference_nll"] == 7.0
    assert math.isnan(policy_only.values["kl_nats"])
    assert nothing == Unscored("no likelihood was measured for this completion")


@pytest.mark.parametrize("factory", [rouge, bleu])
def test_overlap_without_references_is_unscored(factory):
    with_one = candidates("a b c d e", references=("a b c d e",))
    judged = factory().grade([*candidates("a"), *with_one])
    assert judged[0] == Unscored("the sample has no references")
    assert isinstance(judged[1], Scored)


@pytest.mark.parametrize(
    ("factory", "options"),
    [
        (rouge, {}),
        (bleu, {}),
        (diversity, {}),
        (length, {}),
        (likelihood, {}),
        (pattern, {"pattern": "x"}),
    ],
)
def test_every_grader_returns_its_columns_in_order_and_takes_nothing(factory, options):
    grader = factory(**options)
    assert list(grader.grade([])) == []
    measured = {"reference_nll": 1.0}
    (judgement,) = grader.grade([Candidate(Sample("s", "p", ("x y z",)), "x y z", 0, measured)])
    assert tuple(judgement.values) == grader.columns


def test_rouge_against_hand_counts():
    # Candidate 3 words, reference 4, 2 in common: F1 = 2*2/(3+4). No common pair. LCS "the .. sat" = 2.
    (judged,) = rouge(use_stemmer=False).grade(candidates("the dog sat", references=("the cat quietly sat",)))
    assert judged.values["rouge1"] == pytest.approx(4 / 7)
    assert judged.values["rouge2"] == 0
    assert judged.values["rougeL"] == pytest.approx(4 / 7)


def test_rouge_mean_and_best_over_references():
    texts = candidates("a b", references=("a b", "c d", "a d"))
    assert rouge().grade(texts)[0].values["rouge1"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert rouge(references="best").grade(texts)[0].values["rouge1"] == 1


def test_rouge_stemmer():
    texts = candidates("running dogs", references=("run dog",))
    assert rouge().grade(texts)[0].values["rouge1"] == 1
    assert rouge(use_stemmer=False).grade(texts)[0].values["rouge1"] == 0
