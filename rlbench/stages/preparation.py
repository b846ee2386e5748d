"""What a comparison says about the parts that its runs share: reward models, and prompts that were left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rlbench.artifacts.call import Call
from rlbench.artifacts.files import read_json
from rlbench.stages.rewards import TRAINED


def reward_models(call: Call) -> list[dict[str, Any]]:
    """How well the reward model of each task agrees with held-out labels: `agreement.json` of its folder, by task."""
    return [{"task": task, **read_json(folder / "agreement.json")} for task, folder in call.inputs(TRAINED).items()]


def excluded(call: Call) -> list[dict[str, Any]]:
    """Training and dev prompts that a reward did not admit, by task and reason: {task, reason, prompts}."""
    rows = []
    for task, folder in call.inputs("prompts").items():
        path = folder / "excluded.json"
        reasons = Counter(read_json(path).values()) if path.exists() else Counter[str]()
        rows += [{"task": task, "reason": reason, "prompts": count} for reason, count in sorted(reasons.items())]
    return rows
