"""Judges mathematical answers by rule: strictly by what the completion marks as its answer, and flexibly beside it.

Columns:
    correct: 1 if everything that the completion marks as its answer equals the gold answer. Several distinct marked
        values are wrong, so that naming many answers does not pay.
    correct_flexible: 1 if `correct`, or if the last formula or number of the completion equals the gold answer.
    marked: 1 if the completion marks exactly one distinct value, right or wrong. This is the format.

Numbers, words, units and brackets are compared by `expressions.py`, everything else by math-verify
(https://github.com/huggingface/Math-Verify) in a process of its own. A comparison that does not end in time is wrong
if the gold answer alone can be read. A sample whose gold answer is missing or cannot be read is unscored.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from pydantic import Field

from rlbench.errors import InputError
from rlbench.graders.algebra import Algebra, algebra
from rlbench.graders.expressions import comparable, plain_text, same, tidy
from rlbench.graders.marks import last_expression, marked_expressions
from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

COLUMNS = ("correct", "correct_flexible", "marked")
_MOST_MARKS = 16
"""Different texts marked as the answer above which they are several values without being compared."""


class _Options(Options):
    """`cpu_seconds` is what one comparison may compute; its wall clock is three times that."""

    cpu_seconds: float = Field(default=3.0, gt=0.0, le=60.0)


def maths(**options: object) -> Grader:
    """Return the grader of mathematical expressions.

    Raises:
        InputError: an option is unknown or wrong, or math-verify is not installed.
    """
    chosen = read_options("maths", _Options, options)
    if find_spec("math_verify") is None:
        raise InputError("grader 'maths' needs math-verify, which is not installed: pip install 'rlbench[maths]'")

    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        judge = _Judge(algebra(chosen.cpu_seconds), chosen.cpu_seconds)
        return [judge.judge(candidate.completion, candidate.sample.answer) for candidate in candidates]

    return Grader(
        name="maths",
        version=1,
        columns=COLUMNS,
        grade=grade,
        description="expression equal to the gold answer: strict (marked answers), flexible, and the format",
        options=chosen.model_dump(),
    )


class _Judge:
    """Judges the completions of one call; gold answers are read once per distinct text."""

    def __init__(self, worker: Algebra, cpu_seconds: float) -> None:
        self._worker = worker
        self._late = f"could not be compared in {cpu_seconds:g} seconds"
        self._golds: dict[str, str | Unscored] = {}

    def judge(self, completion: str, answer: str | None) -> Judgement:
        if answer is None:
            return Unscored("the sample has no gold answer")
        if answer not in self._golds:
            self._golds[answer] = self._gold(answer)
        gold = self._golds[answer]
        if isinstance(gold, Unscored):
            return gold
        if not completion.strip():
            return Scored(dict.fromkeys(COLUMNS, 0.0), "empty")
        texts = list(dict.fromkeys(map(tidy, marked_expressions(completion))))
        if len(texts) > _MOST_MARKS:
            return self._scored(gold, completion, dict.fromkeys(texts, False), one=False)
        said: dict[str, bool | None] = {}
        for text in texts:
            # After one comparison that did not end, nothing is gained by another.
            said[text] = False if None in said.values() else self._equal(gold, text)
        return self._scored(gold, completion, said, self._one(said))

    def _one(self, said: dict[str, bool | None]) -> bool:
        """Whether all marked texts are notations of one value, in whichever direction they are found to be equal."""
        if len(said) < 2 or None in said.values():
            return len(said) == 1
        if any(said.values()):
            return all(said.values())
        first, *others = said
        return all(self._equal(first, other) or self._equal(other, first) for other in others)

    def _scored(self, gold: str, completion: str, said: dict[str, bool | None], one: bool) -> Scored:
        """Write down whether each marked text equals the gold answer, and whether they are `one` value."""
        texts = list(said)
        correct = one and all(said.values())
        if correct:
            reason = "correct"
        elif None in said.values():
            reason = f"{_short(texts[0])} {self._late} with {_short(gold)}"
        elif one:
            reason = f"expected {_short(gold)}, got {_short(texts[0])}"
        elif texts:
            reason = f"several marked values: {', '.join(map(_short, texts[:4]))}"
        else:
            reason = "no marked answer"
        flexible = correct
        if not correct and (last := last_expression(completion)) is not None:
            last = tidy(last)
            flexible = bool(said[last] if last in said else self._equal(gold, last))
        if flexible and not correct:
            reason += "; the last expression is right"
        return Scored({"correct": float(correct), "correct_flexible": float(flexible), "marked": float(one)}, reason)

    def _equal(self, gold: str, answer: str) -> bool | None:
        """Whether an answer equals the gold answer; None if that could not be found out in time."""
        known = same(gold, answer)
        if known is not None:
            return known
        if not (comparable(gold) and comparable(answer)):
            return False
        comparison = self._worker.compare(gold, answer)
        return None if comparison in ("timeout", "wall") else comparison == "equal"

    def _gold(self, text: str) -> str | Unscored:
        """Read the gold answer: what `text` marks, or the expression that it is."""
        marked = list(dict.fromkeys(map(tidy, marked_expressions(text)))) or [tidy(text)]
        gold = marked[-1]
        if not all(self._equal(gold, other) for other in marked):
            return Unscored(f"the gold answer marks several values: {', '.join(map(_short, marked[:4]))}")
        if plain_text(gold):
            return gold
        if not gold or not comparable(gold) or self._worker.compare(gold, gold) != "equal":
            return Unscored(f"the gold answer cannot be read: {_short(text)!r}")
        return gold


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
