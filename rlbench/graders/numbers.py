"""Reads numbers out of text, exactly. What it cannot read with certainty it does not read.

Units are never interpreted: "$5", "5 %", "5 km" and "5 million" all read as 5. LaTeX is first put into plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

MAX_DIGITS = 400
MAX_EXPONENT = 400

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−‐‑‒–—﹣－", "-"),
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        **{"½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3", "⁄": "/", "％": "%", "＄": "$", "∗": "*"},
    }
)
_NUMERIC = r"-?[0-9.,]{1,40}"
_LATEX: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"<<[^<>\n]{0,200}>>", ""),  # GSM8K's calculator annotations
        (r"\\{1,4}(?=f?boxed|fbox)", r"\\"),
        (r"(?<=[0-9])(?:[\u00a0\u2009\u202f]|\{,\}|,?\\[,!] ?)(?=[0-9]{3}(?![0-9]))", ","),
        (r"[\u00a0\u2009\u202f]", " "),
        (r"\\([$%#&_])", r"\1"),
        (r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname) ?\{([^{}]*)\}", r" \1 "),
        (r"\^(?:\\circ(?![a-z])|\{ ?\\circ ?\})", " "),
        (r"\\(?:left|right|displaystyle|quad|qquad)(?![A-Za-z])", " "),
        (r"\\(?:approx|sim|simeq)(?![a-z])", "≈"),
        (r"\\(?:times|cdot)(?![a-z])", "×"),
        (rf"(?<=[0-9]) ?\\[dt]?frac ?\{{ ?({_NUMERIC}) ?\}} ?\{{ ?({_NUMERIC}) ?\}}", r" \1/\2"),
        (rf"\\[dt]?frac ?\{{ ?({_NUMERIC}) ?\}} ?\{{ ?({_NUMERIC}) ?\}}", r"\1/\2"),
        (r"(?<=[0-9]) ?\\[dt]?frac ?([0-9]) ?([0-9])", r" \1/\2"),
        (r"\\[dt]?frac ?([0-9]) ?([0-9])", r"\1/\2"),
        (r"\\(?:[()\[\],;:! ]|\\(?![a-zA-Z]))", " "),
    ]
)

_SIGN = r"(?<![\w.)\]}])[-+]"
NUMBER = re.compile(
    rf"""
    (?P<sign>{_SIGN})? (?:[$€£¥][ ]?(?P<inner>[-+])?)?
    (?:
        (?P<whole>[0-9]{{1,9}})[ ](?P<part>[0-9]{{1,9}})/(?P<of>[0-9]{{1,9}})(?![0-9])
      | (?P<digits>(?:[0-9]{{1,3}}(?:,[0-9]{{3}})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)
        (?:
            [eE](?P<exponent>[-+]?[0-9]+)(?!\w)
          | [ ]?[×*x][ ]?10\^(?P<power>-?[0-9]{{1,6}}|\{{[ ]?-?[0-9]{{1,6}}[ ]?\}})
        )?
        (?:[ ]?/[ ]?(?P<denominator>[0-9]+(?:\.[0-9]+)?))?
    )
    """,
    re.VERBOSE,
)


def plain(text: str) -> str:
    """Return `text` with LaTeX spellings and look-alike characters of numbers put into ASCII."""
    text = text.translate(_CHARACTERS)
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    return text


def value(match: re.Match[str]) -> Fraction | None:
    """Return the exact value of a `NUMBER` match, or None for one with too many digits or a zero denominator."""
    if match.end() - match.start() > MAX_DIGITS:
        return None
    if match["whole"] is not None:
        size = _ratio(Fraction(int(match["part"])), Fraction(int(match["of"])))
        size = None if size is None else int(match["whole"]) + size
    else:
        size = Fraction(match["digits"].replace(",", ""))
        exponent = match["exponent"] or match["power"]
        if exponent is not None:
            exponent = exponent.strip("{ }")
            if len(exponent) > 6 or abs(int(exponent)) > MAX_EXPONENT:
                return None
            size *= Fraction(10) ** int(exponent)
        if match["denominator"] is not None:
            size = _ratio(size, Fraction(match["denominator"]))
    if size is None:
        return None
    negative = (match["sign"] == "-") != (match["inner"] == "-")
    return -size if negative else size


def numbers(text: str) -> Iterator[Fraction]:
    """Yield the readable numbers of `text` (already `plain`) in order."""
    for match in NUMBER.finditer(text):
        found = value(match)
        if found is not None:
            yield found


def _ratio(numerator: Fraction, denominator: Fraction) -> Fraction | None:
    return numerator / denominator if denominator else None
