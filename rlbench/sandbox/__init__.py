"""The judge: runs model-written code safely, fast and unforgeably. See docs/sandbox.md.

from rlbench.sandbox import open_judge

with open_judge() as judge:
    verdict = judge.run("def solve(x): return 2*x+1", tests="assert solve(3) == 7", entry_points=["solve"])
    assert verdict.status == "passed"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlbench.sandbox.judge import Judge as Judge
    from rlbench.sandbox.judge import open_judge as open_judge
    from rlbench.sandbox.program import Limits as Limits
    from rlbench.sandbox.program import Program as Program
    from rlbench.sandbox.tiers import SandboxUnavailable as SandboxUnavailable
    from rlbench.sandbox.verdict import Verdict as Verdict

_PLACES = {
    "Judge": "judge",
    "open_judge": "judge",
    "Limits": "program",
    "Program": "program",
    "SandboxUnavailable": "tiers",
    "Verdict": "verdict",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: the sandboxed side imports this package too and needs none of them."""
    import importlib

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"rlbench.sandbox.{_PLACES[name]}"), name)
