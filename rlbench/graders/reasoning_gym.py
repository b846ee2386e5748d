"""Judges as the verifier of a reasoning-gym data set does, to show how far it is from a strict one.

Column `own`: what the library's own verifier gives to the completion without the blanks at its ends, from 0 to 1. Most
give a share of the value to a longer text that has the answer in it, so that a hedged answer pays; `exact` beside it
does not (docs/reasoning_gym.md has the figures). A sample without a gold answer is unscored.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored
from rlbench.tasks.reasoning_gym import generator


class _Options(Options):
    """`dataset` is the reasoning-gym data set that the samples are from."""

    dataset: str


def reasoning_gym(**options: object) -> Grader:
    """Return the grader that asks a data set's own verifier.

    Raises:
        InputError: an option is unknown, missing or wrong, the data set is not an audited one, or the library is not
            installed.
    """
    chosen = read_options("reasoning_gym", _Options, options)
    # The audited verifiers look at the entry's answer only, so that options and seed do not matter here.
    verifier = generator(chosen.dataset, "grader 'reasoning_gym'", seed=0)

    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        judgements: list[Judgement] = []
        for candidate in candidates:
            if candidate.sample.answer is None:
                judgements.append(Unscored("the sample has no gold answer"))
                continue
            own = verifier.score_answer(candidate.completion.strip(), {"answer": candidate.sample.answer})
            judgements.append(Scored({"own": float(own)}))
        return judgements

    return Grader(
        name="reasoning_gym",
        version=1,
        columns=("own",),
        grade=grade,
        description=f"what reasoning-gym's own verifier of {chosen.dataset!r} gives, from 0 to 1",
        options=chosen.model_dump(),
    )
