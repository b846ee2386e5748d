"""The commands that only look: fast, light and complete."""

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from rlbench.registry import names

CHECKOUT = Path(__file__).resolve().parents[2]
COMMANDS = ("run", "status", "verify", "score", "compare", "list", "doctor")
LIGHT = """
import sys
sys.argv = ["rlbench", *{arguments!r}]
from rlbench.cli.main import main
try:
    main()
except SystemExit:
    pass
print("HEAVY", sorted({{"torch", "transformers", "scipy", "pandas", "matplotlib"}} & set(sys.modules)))
"""


def python(code):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["compare", "--help"], ["score", "--help"]])
def test_help_is_fast_and_imports_nothing_heavy(arguments):
    seconds = []
    for _ in range(3):
        out, used = python(LIGHT.format(arguments=arguments))
        seconds.append(used)
        assert out.splitlines()[-1] == "HEAVY []"
        assert "Usage: rlbench" in out
    assert min(seconds) < 0.5


def test_help_names_every_command_and_the_exit_codes(cli):
    out = cli("--help").out
    for command in COMMANDS:
        assert re.search(rf"^\s+{command}\b", out, re.MULTILINE)
    assert "Exit codes: 0 done; 1" in out


def test_scoring_with_text_metrics_starts_without_torch(digits, tmp_path):
    rows = "".join(json.dumps({"completion": f"A: {n}"}) + "\n" for n in range(24))
    (tmp_path / "c.jsonl").write_text(rows)
    arguments = ["score", str(tmp_path / "c.jsonl"), "--task", str(digits), "--out", str(tmp_path / "out")]
    out, _ = python(LIGHT.format(arguments=[*arguments, "--metric", "matched", "--metric", "correctness"]))
    assert "torch" not in out.splitlines()[-1]
    assert "transformers" not in out.splitlines()[-1]
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("kind", ["tasks", "metrics", "graders", "trainers"])
def test_list_shows_every_name_with_a_line_about_it(cli, kind):
    result = cli("list", kind)
    assert result.code == 0
    lines = result.out.splitlines()
    expected = {
        "tasks": sorted(path.parent.name for path in (CHECKOUT / "tasks").glob("*/task.yaml")),
        "trainers": ["native", "trl"],
    }.get(kind) or names(kind)
    assert [line.split()[0] for line in lines] == expected
    assert all(len(line.split()) > 3 for line in lines)


def columns(out):
    """The cells of every row of a listing; a line that starts with a space goes on with the last cell above it."""
    lines = out.splitlines()
    starts = [match.start() for match in re.finditer(r"(?:(?<=  )|^)\S", lines[0])]
    rows = []
    for line in lines:
        cells = [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
        if line.startswith(" "):
            rows[-1][-1] += " " + cells[-1]
        else:
            rows.append(cells)
    return rows


def test_list_algorithms_shows_name_paper_data_needs_and_a_line(cli):
    result = cli("list", "algorithms")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 120
    head, *rows = columns(result.out)
    assert head == ["name", "paper", "data", "needs", "what it is"]
    named = {name: cells for name, *cells in rows}
    assert list(named) == names("algorithms")
    assert named["grpo"] == ["arXiv:2402.03300", "rollouts", "reference", "group relative policy optimisation"]
    assert named["ppo"][:3] == ["arXiv:1707.06347", "rollouts", "critic, reference"]
    assert named["ppo"][3] == "proximal policy optimisation with a critic, as used for RLHF"
    assert named["dpo"][1] == "preferences"
    assert named["online_dpo"][1] == "rollouts->pairs"
    assert named["dr_grpo"][3] == "GRPO without its two biases", "its name is not said twice"
    for cells in named.values():
        assert re.fullmatch(r"arXiv:\d{4}\.\d{4,5}", cells[0])
        assert all(cells)


PLUGIN = """\"\"\"Note: an algorithm of somebody else.\"\"\"
from dataclasses import replace

def mine(**options):
    from rlbench.algorithms.grpo import grpo
    return replace(grpo(**options), name="mine", paper="arXiv:2601.00001", needs=())

def fussy(**options):
    raise ValueError("needs a\\nlicence key")
"""
ENTRIES = """\
[rlbench.algorithms]
mine = plugged:mine
fussy = plugged:fussy
gone = no_such_module:gone
"""


def test_algorithms_of_plug_ins_are_listed_and_a_broken_one_hides_no_other(tmp_path):
    info = tmp_path / "plugged-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (tmp_path / "plugged.py").write_text(PLUGIN)
    out, _ = python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + LIGHT.format(arguments=["list", "algorithms"])
    )
    named = {name: cells for name, *cells in columns(out)[1:]}
    assert named.keys() >= {"grpo", "dpo", "mine"}
    assert named["mine"] == ["arXiv:2601.00001", "rollouts", "nothing", "Note: an algorithm of somebody else"]
    lines = {line.split()[0]: " ".join(line.split()) for line in out.splitlines()}
    assert lines["fussy"] == "fussy cannot be loaded: needs a licence key"
    assert "plugged 1.2" in lines["gone"]
    assert "No module named 'no_such_module'" in lines["gone"]


def test_doctor_shows_the_machine(cli, tmp_path):
    (tmp_path / "set").mkdir()
    result = cli("doctor", "--data-dir", tmp_path)
    assert result.code == 0
    for word in ("python", "torch", "cores", "memory", "cuda", "extra hub", "grpo", "correctness"):
        assert word in result.out
    assert re.search(r"^data folder +set$", result.out, re.MULTILINE)


def test_rows_by_name_may_come_in_any_order_and_number(cli, digits, tmp_path):
    rows = [
        {"sample_id": f"test-{n:05d}", "completion": f"{n} {index}", "completion_index": index}
        for n in reversed(range(24))
        for index in range(1 + n % 3)
    ]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cli("score", tmp_path / "c.jsonl", "--task", digits, "--out", tmp_path / "out", "--metric", "matched")
    assert result.code == 0, result.text
    import pandas as pd

    frame = pd.read_parquet(tmp_path / "out" / "scores" / "pattern.parquet")
    assert len(frame) == len(rows)
    keys = list(zip(frame["sample_id"], frame["completion_index"], strict=True))
    assert keys == sorted(keys)
