"""Judges how much a completion overlaps with its references: ROUGE values, and what BLEU and chrF are made from.

The columns of `bleu` and `chrf` are the counts that sacreBLEU adds up over a corpus, so that `metrics/bleu.py` and
`metrics/chrf.py` can aggregate and resample without touching text again; and `sentence`, the score of the completion
alone from 0 to 1, which can be a reward.

References:
    Lin (2004), ROUGE, through Google's `rouge_score`.
    Papineni et al. (2002), BLEU; Chen and Cherry (2014), its smoothing; Popović (2015), chrF, and (2017), chrF++; all
    through `sacrebleu` (Post, 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

from pydantic import Field

from rlbench.errors import InputError
from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

ROUGE_COLUMNS = ("rouge1", "rouge2", "rougeL")
BLEU_COLUMNS = (
    *("correct1", "correct2", "correct3", "correct4"),
    *("total1", "total2", "total3", "total4"),
    *("sys_len", "ref_len"),
)
CHRF_ORDERS = tuple(f"{kind}{size}" for kind, sizes in (("char", 6), ("word", 2)) for size in range(1, sizes + 1))
"""Orders of n-grams: of characters up to 6, of words up to 2."""
CHRF_COLUMNS = (*(f"{order}_{count}" for order in CHRF_ORDERS for count in ("hyp", "ref", "match")), "beta")


class _RougeOptions(Options):
    """`use_stemmer` stems English words; `references` says what several references make: their mean or the best."""

    use_stemmer: bool = True
    references: Literal["mean", "best"] = "mean"


class _BleuOptions(Options):
    """`tokenize` is one of sacreBLEU's tokenizers (13a, intl, char, zh, ...)."""

    tokenize: str = "13a"
    lowercase: bool = False


class _ChrfOptions(Options):
    """Longest n-grams of characters and of words (`word_order: 2` is chrF++), and how much more recall weighs."""

    char_order: int = Field(default=6, ge=1, le=6)
    word_order: int = Field(default=0, ge=0, le=2)
    beta: int = Field(default=2, ge=1)
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
    from rouge_score.tokenizers import DefaultTokenizer

    tokenizer = DefaultTokenizer(chosen.use_stemmer)
    # A completion meets every reference, a reference many completions, and stemming takes half of the time.
    tokenizer.tokenize = lru_cache(maxsize=4096)(tokenizer.tokenize)
    scorer = RougeScorer(list(ROUGE_COLUMNS), tokenizer=tokenizer)

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
    """Return the grader of BLEU's sufficient statistics against one or more references, and of sentence BLEU.

    Sentence BLEU counts only the orders that the completion is long enough for, and smooths as the corpus score does
    (`effective_order` and `exp` of sacreBLEU); without any matching word it is 0. A sample without references is
    unscored.

    Raises:
        InputError: an option is unknown or wrong, or the tokenizer is not one of sacreBLEU's.
    """
    chosen = read_options("bleu", _BleuOptions, options)
    from sacrebleu.metrics.bleu import BLEU

    known = sorted(set(BLEU.TOKENIZERS))
    if chosen.tokenize not in known:
        raise InputError(f"grader 'bleu': tokenize {chosen.tokenize!r} does not exist (known: {', '.join(known)})")
    # effective_order is about the sentence score; it does not change the counts.
    scorer = BLEU(lowercase=chosen.lowercase, tokenize=chosen.tokenize, effective_order=True)

    def judge(candidate: Candidate) -> Judgement:
        score = scorer.sentence_score(candidate.completion, list(candidate.sample.references))
        counts = (*score.counts, *score.totals, score.sys_len, score.ref_len)
        values = {column: float(count) for column, count in zip(BLEU_COLUMNS, counts, strict=True)}
        return Scored(values | {"sentence": _fraction(score.score)})

    return Grader(
        name="bleu",
        version=2,
        columns=(*BLEU_COLUMNS, "sentence"),
        grade=_with_references(judge),
        description="counts of matching and of all n-grams, and lengths, from which corpus BLEU is made; sentence BLEU",
        options=chosen.model_dump(),
    )


def chrf(**options: object) -> Grader:
    """Return the grader of chrF's sufficient statistics against the reference that fits best, and of sentence chrF.

    The columns are the same for all options: the counts of orders that are not asked for are 0. A sample without
    references is unscored.

    Raises:
        InputError: an option is unknown or wrong.
    """
    chosen = read_options("chrf", _ChrfOptions, options)
    from sacrebleu.metrics.chrf import CHRF

    scorer = CHRF(**chosen.model_dump())
    orders = [f"char{size + 1}" for size in range(chosen.char_order)]
    orders += [f"word{size + 1}" for size in range(chosen.word_order)]
    measured = [f"{order}_{count}" for order in orders for count in ("hyp", "ref", "match")]

    def judge(candidate: Candidate) -> Judgement:
        references = [[reference] for reference in candidate.sample.references]
        # The public methods of sacreBLEU give the score alone; its own significance tests take the counts from here.
        (counts,) = scorer._extract_corpus_statistics([candidate.completion], references)
        values = dict.fromkeys(CHRF_COLUMNS, 0.0) | {"beta": float(chosen.beta)}
        values |= zip(measured, map(float, counts), strict=True)
        return Scored(values | {"sentence": _fraction(scorer._aggregate_and_compute([counts]).score)})

    return Grader(
        name="chrf",
        version=1,
        columns=(*CHRF_COLUMNS, "sentence"),
        grade=_with_references(judge),
        description="counts of n-grams of characters and words, from which corpus chrF is made; sentence chrF",
        options=chosen.model_dump(),
    )


def _fraction(score: float) -> float:
    """Map a score of sacreBLEU to a fraction; rounding takes those of identical texts a little above 100."""
    return min(float(score) / 100.0, 1.0)


def _with_references(
    judge: Callable[[Candidate], Judgement],
) -> Callable[[Sequence[Candidate]], list[Judgement]]:
    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        return [
            judge(candidate) if candidate.sample.references else Unscored("the sample has no references")
            for candidate in candidates
        ]

    return grade
