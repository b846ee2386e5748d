"""Judges how much a completion overlaps with its references: ROUGE values and BLEU's sufficient statistics.

References:
    Lin (2004), ROUGE, through Google's `rouge_score`.
    Papineni et al. (2002), BLEU; Post (2018), through `sacrebleu`. The columns are the counts that sacreBLEU adds up
    over a corpus, so that `metrics/bleu.py` can aggregate and resample without touching text again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from rlbench.errors import InputError
from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

ROUGE_COLUMNS = ("rouge1", "rouge2", "rougeL")
BLEU_COLUMNS = (
    *("correct1", "correct2", "correct3", "correct4"),
    *("total1", "total2", "total3", "total4"),
    *("sys_len", "ref_len"),
)


class _RougeOptions(Options):
    """`use_stemmer` stems English words; `references` says what several references make: their mean or the best."""

    use_stemmer: bool = True
    references: Literal["mean", "best"] = "mean"


class _BleuOptions(Options):
    """`tokenize` is one of sacreBLEU's tokenizers (13a, intl, char, zh, ...)."""

    tokenize: str = "13a"
    lowercase: bool = False


def rouge(**options: object) -> Grader:
    """Return the grader of ROUGE-1, ROUGE-2 and ROUGE-L F1, each from 0 to 1.

    With several references the value is their mean (as in SummEval), or with `references="best"` the highest of each
    column. A sample without references is unscored.

    Raises:
        InputError: an option is unknown or wrong.
    """
    chosen = read_options("rouge", _RougeOptions, options)
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGE_COLUMNS), use_stemmer=chosen.use_stemmer)

    def judge(candidate: Candidate) -> Judgement:
        scores = [scorer.score(reference, candidate.completion) for reference in candidate.sample.references]
        values: dict[str, float] = {}
        for column in ROUGE_COLUMNS:
            each = [float(score[column].fmeasure) for score in scores]
            values[column] = max(each) if chosen.references == "best" else sum(each) / len(each)
        return Scored(values)

    return Grader(
        name="rouge",
        version=1,
        columns=ROUGE_COLUMNS,
        grade=_with_references(judge),
        description="ROUGE-1, ROUGE-2 and ROUGE-L F1 against the references",
        options=chosen.model_dump(),
    )


def bleu(**options: object) -> Grader:
    """Return the grader of BLEU's sufficient statistics against one or more references.

    A sample without references is unscored.

    Raises:
        InputError: an option is unknown or wrong, or the tokenizer is not one of sacreBLEU's.
    """
    chosen = read_options("bleu", _BleuOptions, options)
    from sacrebleu.metrics.bleu import BLEU

    known = sorted(set(BLEU.TOKENIZERS))
    if chosen.tokenize not in known:
        raise InputError(f"grader 'bleu': tokenize {chosen.tokenize!r} does not exist (known: {', '.join(known)})")
    # effective_order only silences a warning about sentence scores; it does not change the counts.
    scorer = BLEU(lowercase=chosen.lowercase, tokenize=chosen.tokenize, effective_order=True)

    def judge(candidate: Candidate) -> Judgement:
        score = scorer.sentence_score(candidate.completion, list(candidate.sample.references))
        counts = (*score.counts, *score.totals, score.sys_len, score.ref_len)
        return Scored({column: float(count) for column, count in zip(BLEU_COLUMNS, counts, strict=True)})

    return Grader(
        name="bleu",
        version=1,
        columns=BLEU_COLUMNS,
        grade=_with_references(judge),
        description="counts of matching and of all n-grams, and lengths, from which corpus BLEU is made",
        options=chosen.model_dump(),
    )


def _with_references(
    judge: Callable[[Candidate], Judgement],
) -> Callable[[Sequence[Candidate]], list[Judgement]]:
    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        return [
            judge(candidate) if candidate.sample.references else Unscored("the sample has no references")
            for candidate in candidates
        ]

    return grade
