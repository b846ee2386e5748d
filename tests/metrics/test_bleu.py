"""Corpus BLEU from our summed statistics against sacreBLEU itself and against published scores."""

import csv
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from sacrebleu.metrics.bleu import BLEU

import rlbench
from rlbench.graders.overlap import bleu as bleu_grader
from rlbench.metrics.bleu import bleu, corpus_bleu
from rlbench.records import Candidate, Sample

DATA = Path(os.environ.get("RLBENCH_DATA_DIR") or Path(rlbench.__file__).parents[2] / "shared" / "data")


def needs(name):
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"needs the public data set {name} in {DATA}")


def statistics(hypotheses, references, **options):
    """Grade hypotheses; `references` holds one tuple per hypothesis. Return the statistics [rows, 10]."""
    samples = [Sample(str(index), "", tuple(texts)) for index, texts in enumerate(references)]
    candidates = [Candidate(*pair) for pair in zip(samples, hypotheses, strict=True)]
    grader = bleu_grader(**options)
    judged = grader.grade(candidates)
    assert grader.columns == (*bleu.columns, "sentence")
    return bleu.components(np.array([[j.values[column] for column in bleu.columns] for j in judged]))


def ours(hypotheses, references, **options):
    return float(bleu.aggregate(statistics(hypotheses, references, **options).sum(axis=0)))


def corpus(seed, references=1, words=30):
    rng = random.Random(seed)
    vocabulary = [f"w{n}" for n in range(words)] + ["it's", "3.5,", "(x)", "Ünï", "日本"]
    sentence = lambda: " ".join(rng.choices(vocabulary, k=rng.randrange(0, 14)))  # noqa: E731
    size = rng.randrange(1, 40)
    targets = [[sentence() for _ in range(references)] for _ in range(size)]
    noisy = [" ".join(w for w in rng.choice(t).split() if rng.random() < 0.8) for t in targets]
    return noisy, targets


@pytest.mark.parametrize("references", [1, 3])
@pytest.mark.parametrize("tokenize", ["13a", "char", "intl"])
def test_equal_to_sacrebleu(references, tokenize):
    compared = set()
    for seed in range(25):
        hypotheses, targets = corpus(seed, references)
        streams = [list(stream) for stream in zip(*targets, strict=True)]
        expected = sacrebleu.corpus_bleu(hypotheses, streams, tokenize=tokenize).score
        assert ours(hypotheses, targets, tokenize=tokenize) == pytest.approx(expected, abs=1e-9)
        compared.add(round(expected, 3))
    assert len(compared) > 20


def test_equal_to_sacrebleu_on_any_statistics():
    rng = np.random.default_rng(0)
    checked_zero = checked_smooth = 0
    for _ in range(500):
        total = np.sort(rng.integers(0, 8, size=4))[::-1]
        correct = np.array([rng.integers(0, t + 1) for t in total])
        lengths = rng.integers(1, 12, size=2)
        expected = BLEU.compute_bleu(
            correct.tolist(), total.tolist(), int(lengths[0]), int(lengths[1]), smooth_method="exp"
        ).score
        got = corpus_bleu(np.concatenate([correct, total, lengths]).astype(float))
        assert got == pytest.approx(expected, abs=1e-9)
        checked_zero += expected == 0
        checked_smooth += expected > 0 and (correct == 0).any()
    assert checked_zero > 20
    assert checked_smooth > 20


def test_resamples_are_aggregated_at_once():
    hypotheses, targets = corpus(3)
    parts = statistics(hypotheses, targets)
    picks = np.random.default_rng(0).integers(0, len(parts), size=(20, len(parts)))
    at_once = bleu.aggregate(parts[picks].sum(axis=1))
    for row, pick in zip(at_once, picks, strict=True):
        expected = sacrebleu.corpus_bleu([hypotheses[i] for i in pick], [[targets[i][0] for i in pick]]).score
        assert row == pytest.approx(expected, abs=1e-9)


def test_the_layout_of_references_is_not_transposed():
    hypotheses, targets = ["a b c d e"] * 2, [("a b c d e", "z"), ("z", "y x w v u")]
    assert ours(hypotheses, targets) < 100
    assert ours(hypotheses, [targets[0], targets[0]]) == pytest.approx(100)


def test_identity_and_nothing_in_common():
    assert ours(["the cat sat on the mat"], [("the cat sat on the mat",)]) == pytest.approx(100)
    assert ours(["completely different words here"], [("the cat sat on the mat",)]) == 0
    assert ours([""], [("the cat",)]) == 0


@needs("sacrebleu_cases")
def test_sacrebleu_unit_cases():
    path = DATA / "sacrebleu_cases" / "cases.jsonl"
    compared = 0
    for case in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        options = {key: case[key] for key in ("tokenize", "lowercase") if key in case}
        if case["metric"] != "bleu" or case["level"] != "corpus" or case.get("smooth_method", "exp") == "floor":
            continue  # sentence BLEU and other smoothing are not offered
        targets = list(zip(*case["refs"], strict=True))
        assert ours(case["hyps"], targets, **options) == pytest.approx(case["expected"], abs=1e-4), case["id"]
        compared += 1
    assert compared >= 4


@needs("wmt22")
@pytest.mark.parametrize(
    ("pair", "system", "reference", "options"),
    [
        ("en-de", "OpenNMT", "A", {}),
        ("en-de", "OpenNMT", "all", {}),
        ("cs-en", "CUNI-Transformer", "C", {}),
        ("en-ja", "Online-G", "A", {"tokenize": "char"}),
    ],
)
def test_published_scores_of_wmt22(pair, system, reference, options):
    folder = DATA / "wmt22"
    language = pair.split("-")[1]

    def read(path):
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")

    with (folder / "automatic-scores.tsv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if r["pair"] == pair and r["system"] == system]
    (published,) = [float(row["score"]) for row in rows if row["metric"] == f"bleu-{reference}"]
    hypotheses = read(folder / pair / f"generaltest2022.{pair}.hyp.{system}.{language}")
    names = ("A", "B") if reference == "all" else (reference,)
    streams = [read(folder / pair / f"generaltest2022.{pair}.ref.{name}.{language}") for name in names]
    assert len(hypotheses) > 1000
    assert ours(hypotheses, list(zip(*streams, strict=True)), **options) == pytest.approx(published, abs=1e-6)
