"""Text that comes from outside, made safe to look at: no character may hide, reorder or restyle what is shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

ACRONYMS = frozenset(
    {"cispo", "dapo", "dpo", "gepo", "grpo", "gspo", "ipo", "kto", "orpo", "ppo", "raft", "rft", "rloo", "sft", "trpo"}
)
SPELLED = {"dr_grpo": "Dr. GRPO", "reinforce_pp": "REINFORCE++", "online_dpo": "online DPO"}
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str) -> str:
    """`text` on one line, with control, bidi and other invisible characters spelled out, e.g. ⟨U+202E⟩."""
    return "".join(_spelled(character) for character in text)


def _spelled(character: str) -> str:
    if character in "\n\r\t" or unicodedata.category(character) in INVISIBLE:
        return " ⏎ " if character == "\n" else f"⟨U+{ord(character):04X}⟩"
    return character


def label(name: object) -> str:
    """The name of an arm as people write it: `grpo-nostd` is GRPO-nostd; any other name stays as it is."""
    whole = visible(str(name))
    for written, spelled in SPELLED.items():
        if re.match(rf"{written}([-. ]|$)", whole):
            return spelled + label(whole.removeprefix(written))
    parts = re.split(r"([-._ ])", whole)
    return "".join(part.upper() if part in ACRONYMS else part for part in parts)


def shortened(text: str, width: int = 24) -> str:
    """At most `width` characters; what is left out is marked."""
    return text if len(text) <= width else text[: width - 1] + "…"


def joined(words: Sequence[str], last: str = "and") -> str:
    """The words as an English list: 'a', 'a and b', 'a, b and c'."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def plural(count: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def slug(text: str) -> str:
    """A file name made of [a-z0-9._-] that starts with a letter or digit."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._") or "x"
