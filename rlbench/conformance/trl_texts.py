"""What TRL's offline trainers make of texts: which tokens count, and what happens to what is too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rlbench.conformance.axis import Axis, Value, axis
from rlbench.policies.causal_lm import Policy

LONGEST = 3000
PROMPT, COMPLETION = "aaaa", "b"

Encode = Callable[[str, str], tuple[list[int], list[bool]] | None]
"""Token ids and counted tokens of a prompt with its completion; None where the trainer drops the example."""


def counted_axes(encode: Encode, policy: Policy) -> list[Axis]:
    """Compare tokens, and which of them count, with ours."""
    prompt, completion = "ab", "cde"
    head, tail = policy.encode_prompt(prompt), policy.encode_completion(prompt, completion)
    found = encode(prompt, completion)
    if found is None:
        return [axis("counted tokens", "completion and stop token", None, "the example was dropped")]
    ids, counted = found
    return [
        axis("tokens", "prompt, completion, stop", _tokens(ids, head + tail), f"{len(ids)} tokens"),
        axis(
            "counted tokens",
            "completion and stop token",
            _counted(counted, len(head), len(ids)),
            f"{sum(counted)} of {len(ids)} tokens of a prompt of {len(head)}",
        ),
    ]


def _tokens(ids: Sequence[int], expected: Sequence[int]) -> Value:
    if list(ids) == list(expected):
        return "prompt, completion, stop"
    return "without the stop token" if list(ids) == list(expected)[:-1] else "other tokens"


def _counted(counted: Sequence[bool], head: int, total: int) -> Value:
    patterns = {
        "completion and stop token": [False] * head + [True] * (total - head),
        "completion without stop token": [False] * head + [True] * (total - head - 1) + [False],
        "prompt and completion": [False] + [True] * (total - 1),  # nothing predicts the first token
    }
    return next((name for name, pattern in patterns.items() if list(counted)[1:] == pattern[1:]), "other tokens")


def truncation_axis(encode: Encode) -> Axis:
    """Find from how many tokens on an example is cut or dropped, and which end stays. Ours refuses what is too long."""

    def whole(letters: int) -> bool:
        found = encode(PROMPT, COMPLETION * letters)
        return found is not None and len(found[0]) >= letters + len(PROMPT)

    evidence = f"up to {LONGEST} tokens"
    if whole(LONGEST):
        return axis("too long", "never cut or dropped", "never cut or dropped", evidence)
    short, long = 1, LONGEST
    while long - short > 1:
        middle = (short + long) // 2
        short, long = (middle, long) if whole(middle) else (short, middle)
    found, reference = encode(PROMPT, COMPLETION * long), encode(PROMPT, COMPLETION)
    if found is None:
        return axis("too long", "never cut or dropped", "dropped", f"from {long} letters of completion on")
    start = reference is not None and found[0][:4] == reference[0][:4]
    end = reference is not None and found[0][-1] == reference[0][-1]
    stays = "start" if start and not end else "end" if end and not start else "other part"
    return axis("too long", "never cut or dropped", f"cut, keeping the {stays}", f"beyond {len(found[0])} tokens")
