"""Colours that tell arms apart for colour-blind readers, on light and on dark paper.

Every colour has a twin for dark paper. Figures are drawn in the light colours; a style sheet inside the SVG swaps them
where the reader prefers a dark page (see `svg.py`), so one file serves both and programs without CSS still show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INK = "#1c2430"
MUTED = "#667080"
GRID = "#dde2e8"
BAND = "#eff2f6"
NEUTRAL = "#79828f"

ARMS = ("#0072b2", "#d55e00", "#00896b", "#b5549a", "#b07d00", "#2f9bd6", "#6a51a3", "#8c564b", "#5f7a1f", "#c23b4e")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p")

DARK: Mapping[str, str] = {
    INK: "#e7ebf0",
    MUTED: "#9aa5b4",
    GRID: "#2f3742",
    BAND: "#1d242d",
    NEUTRAL: "#a3adba",
    ARMS[0]: "#4aa8e0",
    ARMS[1]: "#f0884a",
    ARMS[2]: "#35c49c",
    ARMS[3]: "#dd8cc6",
    ARMS[4]: "#e0b13c",
    ARMS[5]: "#86ccf5",
    ARMS[6]: "#ab96e0",
    ARMS[7]: "#c79a8f",
    ARMS[8]: "#a5c35a",
    ARMS[9]: "#f07d8d",
}


def arm_colours(comparison: Mapping[str, Any]) -> dict[str, str]:
    """Arm -> colour. The baseline and shared policies are grey."""
    return {arm: NEUTRAL if index is None else ARMS[index % len(ARMS)] for arm, index in _places(comparison).items()}


def arm_markers(comparison: Mapping[str, Any]) -> dict[str, str]:
    """Arm -> matplotlib marker, so that colour is never the only difference."""
    return {arm: "o" if index is None else MARKERS[index % len(MARKERS)] for arm, index in _places(comparison).items()}


def _places(comparison: Mapping[str, Any]) -> dict[str, int | None]:
    places: dict[str, int | None] = {}
    for arm in comparison.get("arms") or ():
        plain = arm.get("kind") == "shared" or arm["name"] == comparison.get("baseline")
        places[str(arm["name"])] = None if plain else sum(place is not None for place in places.values())
    return places
