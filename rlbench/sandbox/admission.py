"""The gate for tests: only those that tell a right program from wrong ones may judge.

Tests are admitted if the reference passes and every control fails: a program that answers None, one that raises, one
that ends the process with status 0, one that answers with an object equal to everything, one that answers with an
empty list, and some that empty their arguments and hand them, or something empty, back. Controls of scripts print
nothing, raise, or end at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rlbench.errors import InputError
from rlbench.sandbox.prepared import prepare
from rlbench.sandbox.program import Program
from rlbench.sandbox.verdict import Verdict

if TYPE_CHECKING:
    from rlbench.sandbox.judge import Judge

CONTROLS = {
    "returns None": "def {name}(*positional, **named):\n    return None\n",
    "raises": "def {name}(*positional, **named):\n    raise RuntimeError\n",
    "ends the process": "def {name}(*positional, **named):\n    import os\n    os._exit(0)\n",
    "returns an object equal to everything": (
        "class Equal:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
        "    def __bool__(self): return True\n    __hash__ = None\n"
        "def {name}(*positional, **named):\n    return Equal()\n"
    ),
    "returns an empty list": "def {name}(*positional, **named):\n    return []\n",
    **{
        f"empties its arguments and returns {answer}": (
            "def {name}(*positional, **named):\n"
            "    emptied = [each for each in positional if isinstance(each, (list, dict, set)) and each]\n"
            "    for each in emptied:\n        each.clear()\n"
            f"    return {answer} if emptied else None\n"
        )
        for answer in ("0", "''", "[]")
    },
    "empties its arguments and returns them": (
        "def {name}(*positional, **named):\n"
        "    emptied = [each for each in positional if isinstance(each, (list, dict, set)) and each]\n"
        "    for each in emptied:\n        each.clear()\n"
        "    return emptied[0] if emptied else None\n"
    ),
}
SCRIPT_CONTROLS = {"prints nothing": "", "raises": "raise RuntimeError", "ends the process": "import os; os._exit(0)"}


@dataclass(frozen=True)
class Admission:
    """Whether tests may judge: `refusal` says why not, or is empty. Undecided where the judge itself failed."""

    refusal: str = ""
    decided: bool = True


def admit(judge: Judge, programs: Sequence[Program]) -> list[Admission]:
    """Say for each program, whose source is a reference solution, whether its tests may judge others."""
    found: dict[int, Admission] = {}
    tried: list[tuple[int, str, Program]] = []
    for index, program in enumerate(programs):
        try:
            tried += [(index, what, each) for what, each in _attempts(program, judge.limits.reply_bytes)]
        except InputError as error:
            found[index] = Admission(str(error))
    for (index, what, _), verdict in zip(tried, judge.run_many([each for *_, each in tried]), strict=True):
        refusal = _refusal(what, verdict)
        if refusal.refusal:
            found.setdefault(index, refusal)
    return [found.get(index, Admission()) for index in range(len(programs))]


def _refusal(what: str, verdict: Verdict) -> Admission:
    """What one verdict says: the reference (`what` is "") has to pass, a control must not."""
    if verdict.status == "infra_error" and not verdict.tests_broken:
        return Admission(f"the judge failed: {verdict.reason}", decided=False)
    if what:
        return Admission(f"a program that {what} passes" if verdict.passed else "")
    return Admission("" if verdict.passed else f"the reference does not pass: {verdict.status}, {verdict.reason}")


def _attempts(program: Program, reply_bytes: int) -> list[tuple[str, Program]]:
    """The reference, under the name "", and the controls."""
    if program.cases:
        sources = SCRIPT_CONTROLS
        names: tuple[str, ...] = ()
    else:
        names = prepare(program.tests, program.setup, program.entry_points, reply_bytes).entry_points
        sources = {what: "".join(source.format(name=name) for name in names) for what, source in CONTROLS.items()}
    if not program.cases and not names:
        raise InputError("the tests call nothing of the program")
    return [("", program), *((what, replace(program, source=source)) for what, source in sources.items())]
