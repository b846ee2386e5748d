"""Plug-ins: found by entry point, imported only when asked for, and named when they fail."""

import subprocess
import sys

import pytest

from rlbench.errors import InputError
from rlbench.registry import load, load_family, names, unknown


@pytest.fixture
def plugin(tmp_path):
    """Write an installed distribution; `plugin(name, entries, code)` returns the folder to put on the path."""

    def write(name, entries, code):
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(entries)
        (tmp_path / f"{name}.py").write_text(code)
        return tmp_path

    return write


def ask(folder, code):
    """Run `code` where the plug-ins of `folder` are installed; return what it prints."""
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\nfrom rlbench.registry import load, names\n"
    start += "from rlbench.errors import InputError\n"
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def try_to_load(kind, name):
    return f"try:\n    print(load({kind!r}, {name!r}))\nexcept InputError as error:\n    print('InputError', error)"


def test_the_built_ins_use_the_same_door():
    algorithms = {"ppo", "grpo", "gspo", "dr_grpo", "dapo", "rloo", "reinforce_pp", "trpo", "dpo", "online_dpo"}
    assert algorithms <= set(names("algorithms"))
    assert {"correctness", "pattern", "rouge", "bleu", "length", "diversity", "likelihood"} <= set(names("graders"))
    assert names("metrics") == sorted(names("metrics"))


@pytest.mark.parametrize("kind", ["algorithms", "graders", "metrics"])
def test_everything_that_is_listed_can_be_loaded(kind):
    for name in names(kind):
        assert load(kind, name.replace("@k", "@7")) is not None


def test_a_family_offers_one_metric_for_every_whole_number():
    assert "pass@k" in names("metrics")
    assert [load("metrics", f"pass@{k}").name for k in (1, 5, 100)] == ["pass@1", "pass@5", "pass@100"]
    assert load("metrics", "pass@5").completions_needed == 5
    assert load_family("metrics", "pass@k")(7).name == "pass@7"


@pytest.mark.parametrize("number", ["0", "x", "", "k", "-1", "1.5", "01", " 1", "1_000", "٣", "9" * 5000])
def test_a_family_needs_a_whole_number(number):
    with pytest.raises(InputError) as caught:
        load("metrics", f"pass@{number}")
    message = str(caught.value)
    assert message.startswith(f"metric {f'pass@{number}'!r}: expected a whole number from 1 to 999999999 after '@'")
    assert message.endswith("write for example pass@1")


@pytest.mark.parametrize("name", ["pas@3", "pass", "correctness@3", "@3", "@k"])
def test_no_family_is_an_unknown_name(name):
    with pytest.raises(InputError, match=rf"metric '{name}' does not exist \(known: .*pass@k"):
        load("metrics", name)


def test_a_plugin_may_offer_a_family_and_single_members_of_it(plugin):
    entries = "[rlbench.metrics]\nbest@k = tops:best\nworst@3 = tops:worst\n"
    folder = plugin("tops", entries, "def best(k): return ('best', k)\nworst = 'the third worst'\n")
    assert ask(folder, "print(*load('metrics', 'best@12'), load('metrics', 'worst@3'))") == "best 12 the third worst"
    assert "metric 'worst@4' does not exist" in ask(folder, try_to_load("metrics", "worst@4"))
    assert "write for example best@1" in ask(folder, try_to_load("metrics", "best@k"))


def test_a_family_that_fails_is_named(plugin):
    folder = plugin("broken", "[rlbench.metrics]\nbest@k = broken:best\n", "raise RuntimeError('imported')\n")
    assert ask(folder, try_to_load("metrics", "best@2")).startswith(
        "InputError metric 'best@k' of broken 1.2 cannot be imported: RuntimeError: imported"
    )


def test_unknown_names_are_told_with_the_nearest_known_one():
    known = r"\(known: dapo, dpo, dr_grpo, grpo, gspo, online_dpo, ppo, reinforce_pp, rloo, trpo\)"
    with pytest.raises(InputError, match=f"algorithm 'gprpo' does not exist {known}; did you mean 'grpo'"):
        load("algorithms", "gprpo")
    with pytest.raises(InputError, match="metric 'zzzz' does not exist") as caught:
        load("metrics", "zzzz")
    assert "did you mean" not in str(caught.value)
    assert "(known: none)" in str(unknown("task", "x", []))


def test_a_plugin_is_found_and_loaded(plugin):
    folder = plugin("mine", "[rlbench.graders]\nmine = mine:grader\n", "def grader(): return 'a grader'\n")
    assert ask(folder, "print('mine' in names('graders'), load('graders', 'mine')())") == "True a grader"


def test_a_plugin_that_nobody_asked_for_is_not_imported(plugin):
    folder = plugin("broken", "[rlbench.graders]\nbroken = broken:grader\n", "raise RuntimeError('imported')\n")
    assert ask(folder, "load('graders', 'length'); print('broken' in names('graders'), 'broken' in sys.modules)") == (
        "True False"
    )


def test_a_plugin_that_fails_is_named(plugin):
    folder = plugin("broken", "[rlbench.graders]\nbroken = broken:grader\n", "raise RuntimeError('imported')\n")
    assert ask(folder, try_to_load("graders", "broken")) == (
        "InputError grader 'broken' of broken 1.2 cannot be imported: RuntimeError: imported; "
        "repair or uninstall that package"
    )


def test_a_plugin_that_lacks_what_it_offers_is_named(plugin):
    folder = plugin("empty", "[rlbench.metrics]\nempty = empty:nothing\n", "")
    assert ask(folder, try_to_load("metrics", "empty")).startswith(
        "InputError metric 'empty' of empty 1.2 cannot be imported: AttributeError"
    )


def test_two_plugins_of_one_name_are_refused(plugin):
    folder = plugin("first", "[rlbench.graders]\nsame = first:grader\n", "grader = 1\n")
    plugin("second", "[rlbench.graders]\nsame = second:grader\n", "grader = 2\n")
    message = ask(folder, try_to_load("graders", "same"))
    assert "two packages offer grader 'same'" in message
    assert "first 1.2" in message
    assert "second 1.2" in message


def test_a_plugin_cannot_silently_replace_a_built_in(plugin):
    folder = plugin("thief", "[rlbench.graders]\ncorrectness = thief:grader\n", "grader = 1\n")
    assert "two packages offer grader 'correctness'" in ask(folder, try_to_load("graders", "correctness"))
