"""Corpus chrF from our summed statistics against sacreBLEU itself and against published scores."""

import csv
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

import rlbench
from rlbench.graders.overlap import chrf as chrf_grader
from rlbench.metrics.chrf import chrf
from rlbench.records import Candidate, Sample

DATA = Path(os.environ.get("RLBENCH_DATA_DIR") or Path(rlbench.__file__).parents[2] / "shared" / "data")


def needs(name):
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"needs the public data set {name} in {DATA}")


def statistics(hypotheses, references, **options):
    """Grade hypotheses; `references` holds one tuple per hypothesis. Return the statistics [rows, 26]."""
    samples = [Sample(str(index), "", tuple(texts)) for index, texts in enumerate(references)]
    candidates = [Candidate(*pair) for pair in zip(samples, hypotheses, strict=True)]
    grader = chrf_grader(**options)
    assert grader.columns == (*chrf.columns, "sentence")
    judged = grader.grade(candidates)
    return chrf.components(np.array([[j.values[column] for column in chrf.columns] for j in judged]))


def ours(hypotheses, references, **options):
    return float(chrf.aggregate(statistics(hypotheses, references, **options).sum(axis=0)))


def corpus(seed, references=1):
    rng = random.Random(seed)
    vocabulary = ["it's", "3.5,", "(cat)", "Ünï", "日本", "the", "mat", "a", "Sat", "sitting", "x."]
    sentence = lambda: " ".join(rng.choices(vocabulary, k=rng.randrange(0, 9)))  # noqa: E731
    targets = [[sentence() for _ in range(references)] for _ in range(rng.randrange(1, 12))]
    noisy = [" ".join(w[: rng.randrange(1, 6)] for w in rng.choice(t).split() if rng.random() < 0.8) for t in targets]
    return noisy, targets


@pytest.mark.parametrize("references", [1, 3])
@pytest.mark.parametrize(
    "options",
    [{}, {"word_order": 2}, {"char_order": 3, "word_order": 1, "beta": 1}, {"beta": 3, "lowercase": True}],
    ids=str,
)
def test_equal_to_sacrebleu(references, options):
    compared = set()
    for seed in range(25):
        hypotheses, targets = corpus(seed, references)
        streams = [list(stream) for stream in zip(*targets, strict=True)]
        expected = sacrebleu.corpus_chrf(
            hypotheses,
            streams,
            char_order=options.get("char_order", 6),
            word_order=options.get("word_order", 0),
            beta=options.get("beta", 2),
        ).score
        if options.get("lowercase"):  # the function above cannot; it is the same as to compare small letters
            low = [[text.lower() for text in stream] for stream in streams]
            expected = sacrebleu.corpus_chrf([text.lower() for text in hypotheses], low, beta=options["beta"]).score
        assert ours(hypotheses, targets, **options) == pytest.approx(expected, abs=1e-9)
        compared.add(round(expected, 3))
    assert len(compared) > 15


def test_resamples_are_aggregated_at_once():
    hypotheses, targets = corpus(9)
    parts = statistics(hypotheses, targets)
    picks = np.random.default_rng(0).integers(0, len(parts), size=(2, 10, len(parts)))
    at_once = chrf.aggregate(parts[picks].sum(axis=2))
    assert at_once.shape == (2, 10)
    for row, pick in zip(at_once.ravel(), picks.reshape(-1, len(parts)), strict=True):
        expected = sacrebleu.corpus_chrf([hypotheses[i] for i in pick], [[targets[i][0] for i in pick]]).score
        assert row == pytest.approx(expected, abs=1e-9)


def test_what_was_not_scored_changes_nothing():
    hypotheses, targets = corpus(9)
    parts = statistics(hypotheses, targets)
    unscored = chrf.components(np.full((3, len(chrf.columns)), np.nan))
    assert chrf.aggregate(np.concatenate([parts, unscored]).sum(axis=0)) == chrf.aggregate(parts.sum(axis=0))
    assert np.isnan(chrf.aggregate(unscored.sum(axis=0)))


def test_identity_and_nothing_in_common():
    assert ours(["the cat sat"], [("a dog", "the cat sat")]) == pytest.approx(100)
    assert ours(["xyz"], [("the cat",)]) == 0
    assert ours([""], [("the cat",)]) == 0


@needs("sacrebleu_cases")
def test_chrf_cases_of_sacrebleu():
    compared = 0
    for line in (DATA / "sacrebleu_cases" / "cases.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        if case["metric"] != "chrf" or case["eps_smoothing"] or not case.get("remove_whitespace", True):
            continue  # epsilon smoothing and blanks as characters are not offered
        options = {key: case[key] for key in ("char_order", "word_order", "beta")}
        targets = list(zip(*case["refs"], strict=True))
        assert ours(case["hyps"], targets, **options) == pytest.approx(case["expected"], abs=1e-6), case["id"]
        compared += 1
    assert compared == 5


@needs("wmt22")
@pytest.mark.parametrize(
    ("pair", "system", "reference"),
    [("en-de", "OpenNMT", "A"), ("cs-en", "CUNI-Transformer", "all")],
)
def test_published_chrf_of_wmt22(pair, system, reference):
    folder = DATA / "wmt22"
    language = pair.split("-")[1]

    def read(path):
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")

    with (folder / "automatic-scores.tsv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if r["pair"] == pair and r["system"] == system]
    (published,) = {float(row["score"]) for row in rows if row["metric"] == f"chrf-{reference}"}
    hypotheses = read(folder / pair / f"generaltest2022.{pair}.hyp.{system}.{language}")
    names = ("B", "C") if reference == "all" else (reference,)
    streams = [read(folder / pair / f"generaltest2022.{pair}.ref.{name}.{language}") for name in names]
    assert len(hypotheses) > 1000
    assert ours(hypotheses, list(zip(*streams, strict=True))) == pytest.approx(published, abs=1e-6)
