import math

import pytest

from rlbench.rendering import quantity
from rlbench.rendering.text import joined, label, slug, visible


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.931, "fraction", "93.1"),
        (-0.0001, "fraction", "0.0"),
        (1234.5, "tokens", "1,234"),
        (3.21, "", "3.21"),
        (0.0321, "nats", "0.0321"),
        (0.00012345, "", "0.000123"),
        (0.0, "", "0.00"),
        (None, "fraction", "–"),
        (math.nan, "", "–"),
        (True, "", "–"),
    ],
)
def test_numbers(value, unit, shown):
    assert quantity.number(value, unit) == shown


def test_a_value_and_its_interval_have_the_same_decimals():
    assert quantity.with_interval(0.27, 0.25, 0.2923, "fraction", signed=True) == "+27.0 [25.0, 29.2]"
    assert quantity.with_interval(0.9, 0.8, 1.04, "nats") == "0.90 [0.80, 1.04]"
    assert quantity.with_interval(0.5, None, None, "fraction") == "50.0"


@pytest.mark.parametrize(
    ("p", "shown"), [(0.0002, ".0002"), (0.032, ".032"), (1.0, "1.000"), (0.00001, "<.0001"), (None, "–")]
)
def test_p_values(p, shown):
    assert quantity.probability(p) == shown


def test_amounts():
    assert quantity.duration(0.4) == "0.40 s"
    assert quantity.duration(245) == "4 min 05 s"
    assert quantity.duration(7620) == "2 h 07 min"
    assert quantity.memory(734_003_200) == "700.0 MiB"
    assert quantity.count(8192) == "8,192"
    assert quantity.count(3.1e13) == "3.1e+13"


def test_names_and_lists():
    assert label("grpo-nostd") == "GRPO-nostd"
    assert label("base") == "base"
    assert label("dr_grpo") == "Dr. GRPO"
    assert label("reinforce_pp-1e-4") == "REINFORCE++-1e-4"
    assert label("online_dpo") == "online DPO"
    assert label("dr_grpos") == "dr_grpos"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert slug("../Etc/<x>") == "etc-x"
    assert slug("…") == "x"


@pytest.mark.parametrize(
    "character", ["\u202e", "\x00", "\x1b", "\u200b", "\u2066", "\ufeff", "\u2028", "\ud800", "\t"]
)
def test_what_hides_is_spelled_out(character):
    assert visible(f"a{character}b") == f"a⟨U+{ord(character):04X}⟩b"
