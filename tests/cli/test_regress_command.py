"""`rlbench regress` and `rlbench baseline` from saved baselines to exit codes and files."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from regress_arms import arm, levels, scores

from rlbench.artifacts.sealing import seal, verify
from rlbench.cli import baseline as baseline_command
from rlbench.cli.regress import regress
from rlbench.comparison.baseline import save_baseline
from rlbench.errors import CorruptArtifact, InputError

OLD = np.array([0.50, 0.51, 0.49, 0.502, 0.498, 0.505])
SAME = np.array([0.501, 0.509, 0.492, 0.50, 0.499, 0.504])
NOISY = np.array([0.50, 0.53, 0.45, 0.52, 0.44, 0.505])
DOCS = Path(__file__).resolve().parents[2] / "docs"
HOSTILE = "<b>|x]](http://evil)\u202e&\ufffe"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Baselines of one arm: `old`, and candidates of each kind."""
    folder = tmp_path_factory.mktemp("store")
    candidates = {"old": OLD, "same": SAME, "worse": SAME - 0.05, "noisy": NOISY}
    for name, values in candidates.items():
        save_baseline(folder, name, [arm(levels(values), speeds=dict.fromkeys(range(6), 1.0))], f"runs/{name}")
    tasks = {HOSTILE: scores(levels(SAME - 0.05), task=HOSTILE)}
    save_baseline(folder, "hostile", [arm(levels(SAME), tasks={HOSTILE: scores(levels(SAME), task=HOSTILE)})], HOSTILE)
    save_baseline(folder, "hostile-worse", [arm(levels(SAME), HOSTILE, tasks=tasks)], HOSTILE)
    return folder


@pytest.fixture
def gate(tmp_path):
    path = tmp_path / "gate.yaml"
    path.write_text("metrics:\n  correctness: {margin: 0.02}\n  mean_length: {margin: 1, direction: both}\n")
    return path


@pytest.fixture(autouse=True)
def no_job_summary(monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def run(store, gate, candidate, baseline="old", **files):
    wanted = dict.fromkeys(("out", "junit", "summary", "json")) | files
    return regress(baseline, candidate, gate, store=store, **wanted)


@pytest.mark.parametrize(
    ("candidate", "code", "words"),
    [
        ("same", 0, "PASS: all 2 pass"),
        ("worse", 1, "REGRESSED: worse by more than the margin in correctness on sums"),
        ("noisy", 3, "INCONCLUSIVE, which is no pass"),
    ],
)
def test_the_exit_code_is_the_verdict(store, gate, candidate, code, words, capsys):
    assert run(store, gate, candidate) == code
    out = capsys.readouterr().out
    assert words in out
    assert max(map(len, out.splitlines())) <= 100
    if code == 3:
        assert re.search(r"\d+ seeds on each\s+side would pass if there is no true difference", out)


def test_all_files_say_the_same(store, gate, tmp_path, monkeypatch):
    job = tmp_path / "job.md"
    job.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job))
    files = {name: tmp_path / name for name in ("out", "junit", "summary", "json")}
    assert run(store, gate, "worse", **files) == 1
    verify(files["out"])
    found = json.loads(files["json"].read_text())
    assert found == json.loads((files["out"] / "regression.json").read_text())
    assert (found["verdict"], found["exit_code"], found["tests"]) == ("regressed", 1, 2)
    root = ElementTree.parse(files["junit"]).getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "1", "0")
    (failure,) = root.iter("failure")
    assert failure.get("type") == "regressed"
    assert "❌ rlbench regress: regressed" in files["summary"].read_text()
    assert job.read_text() == "before\n" + files["summary"].read_text()
    with pytest.raises(InputError, match="never overwritten"):
        run(store, gate, "worse", out=files["out"])


def test_what_is_inconclusive_is_an_error_in_junit_because_skipped_tests_look_green(store, gate, tmp_path):
    assert run(store, gate, "noisy", junit=tmp_path / "junit.xml") == 3
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (root.get("failures"), root.get("errors")) == ("0", "1")
    assert not list(root.iter("skipped"))


def test_the_document_describes_every_key(store, gate, tmp_path):
    run(store, gate, "noisy", json=tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    documented = set(re.findall(r"`(\w+)`", (DOCS / "regress.md").read_text()))
    assert found.keys() <= documented
    assert {key for row in found["metrics"] for key in row} <= documented
    assert {key for row in found["baseline"] for key in row} <= documented


def test_names_from_outside_do_nothing(store, gate, tmp_path, capsys):
    files = {name: tmp_path / name for name in ("junit", "summary")}
    assert run(store, gate, "hostile-worse", baseline="hostile", **files) == 1
    assert "\u202e" not in capsys.readouterr().out
    ElementTree.parse(files["junit"])
    summary = files["summary"].read_text()
    assert "<b>" not in summary
    assert "](http" not in summary
    assert "\u202e" not in summary
    header, *_ = [line for line in summary.splitlines() if line.startswith("| verdict")]
    for line in summary.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) == header.count("|")


def test_what_matters_most_stands_first_and_arms_are_named_where_there_are_several(store, tmp_path, gate, capsys):
    worse = [arm(levels(SAME), "grpo"), arm(levels(SAME - 0.05), "ppo")]
    save_baseline(tmp_path, "two", [arm(levels(OLD), "grpo"), arm(levels(OLD), "ppo")], "runs/two")
    save_baseline(tmp_path, "worse", worse, "runs/worse")
    assert run(tmp_path, gate, "worse", baseline="two") == 1
    out = capsys.readouterr().out
    assert "worse by more than the margin in correctness of ppo on sums" in out
    verdicts = [line.split()[0] for line in out.split("\n\n")[1].splitlines()[1:]]
    assert verdicts[0] == "REGRESSED"
    assert "REGRESSED" not in verdicts[1:]
    assert len(verdicts) == 4


def test_bare_addresses_are_no_links_in_a_summary(tmp_path, gate):
    for name, values in (("old", OLD), ("new", SAME)):
        tasks = {"www.evil.com": scores(levels(values), task="www.evil.com")}
        save_baseline(tmp_path, name, [arm(levels(values), tasks=tasks)], name)
    assert run(tmp_path, gate, "new", summary=tmp_path / "summary.md") == 0
    assert "www.evil" not in (tmp_path / "summary.md").read_text()


def test_a_gate_without_a_candidate_asks_for_one(store, gate):
    with pytest.raises(InputError, match="--candidate"):
        run(store, gate, None)


def test_without_a_gate_a_template_is_printed_that_works(store, tmp_path, capsys):
    with pytest.raises(InputError, match="margin has to be declared"):
        run(store, None, None)
    written = tmp_path / "template.yaml"
    written.write_text(capsys.readouterr().out)
    assert run(store, written, "same") == 0


def test_a_file_that_cannot_be_written_is_named(store, gate, tmp_path):
    with pytest.raises(InputError, match="--junit"):
        run(store, gate, "same", junit=tmp_path / "none" / "junit.xml")


def test_an_unknown_source_is_named(store, gate):
    with pytest.raises(
        InputError, match=r"nobody: .* the baselines in .* are: hostile, hostile-worse, noisy, old, same"
    ):
        run(store, gate, "nobody")


def test_a_baseline_is_saved_from_another_and_shown_with_its_noise(store, tmp_path, capsys):
    baseline_command.save("copy", str(store / "old"), tmp_path)
    said = capsys.readouterr().out
    assert str(tmp_path / "copy") in said
    baseline_command.show("copy", tmp_path)
    shown = capsys.readouterr().out
    assert shown.strip() in said
    line = next(line for line in shown.splitlines() if "correctness" in line)
    assert f"{OLD.mean():.4g}" in line
    assert f"{OLD.std(ddof=1):.3g}" in line
    baseline_command.show(None, tmp_path)
    assert "copy" in capsys.readouterr().out
    with pytest.raises(InputError, match="expected one of copy"):
        baseline_command.show("other", tmp_path)


def test_a_baseline_is_copied_by_its_name(store, tmp_path, capsys):
    save_baseline(tmp_path, "main", [arm(levels(OLD))], "runs/main")
    baseline_command.save("copy", "main", tmp_path)
    assert (tmp_path / "copy" / "identity.json").read_bytes() == (tmp_path / "main" / "identity.json").read_bytes()


def test_one_damaged_baseline_does_not_hide_the_others(tmp_path, capsys):
    for name in ("a", "b"):
        save_baseline(tmp_path, name, [arm(levels(OLD))], f"runs/{name}")
    (tmp_path / "a" / "noise.json").write_text("[]")
    with pytest.raises(CorruptArtifact, match="a cannot be used"):
        baseline_command.show(None, tmp_path)
    first, second = capsys.readouterr().out.splitlines()
    assert "cannot be used" in first
    assert "runs/b" in second


def test_only_baselines_are_shown(tmp_path):
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "noise.json").write_text("[]")
    seal(tmp_path / "draft", tmp_path / "other", {"stage": "score", "name": "other"})
    with pytest.raises(CorruptArtifact, match="expected a saved baseline"):
        baseline_command.show("other", tmp_path)


def test_an_empty_store_says_how_to_fill_it(tmp_path, capsys):
    baseline_command.show(None, tmp_path / "none")
    assert "rlbench baseline save" in capsys.readouterr().out


def test_score_folders_are_judged_as_checkpoints(cli, digits, tmp_path, gate):
    rows = [json.loads(line) for line in (digits / "test.jsonl").read_text().splitlines()]
    gate.write_text("metrics:\n  matched: {margin: 0.2}\n")
    right = [f"A: {row['sum']}" for row in rows]
    for name, texts in {"good": right, "fair": [*right[:-1], "2"], "bad": ["1"] * len(rows)}.items():
        written = tmp_path / f"{name}.jsonl"
        written.write_text("".join(json.dumps({"completion": text}) + "\n" for text in texts))
        assert cli("score", written, "--task", digits, "--out", tmp_path / name).code == 0
    options = ("--store", tmp_path / "store", "--gate", gate)
    judged = {
        name: cli("regress", "--baseline", tmp_path / "good", "--candidate", tmp_path / name, *options)
        for name in ("fair", "bad")
    }
    assert "these checkpoints" in " ".join(judged["fair"].out.split())
    assert (judged["fair"].code, judged["bad"].code) == (0, 1), judged["fair"].text + judged["bad"].text
    wrong = cli("regress", "--baseline", tmp_path / "good", "--candidate", tmp_path / "none", *options)
    assert (wrong.code, "Traceback" in wrong.text) == (2, False)


def test_a_saved_run_is_judged_like_the_run_itself(cli, finished, tmp_path, gate):
    _, run = finished
    gate.write_text("metrics:\n  matched: {margin: 0.3}\n  kl_to_sft: {margin: 50 %, direction: both}\n")
    store = tmp_path / "store"
    assert cli("baseline", "save", "before", run, "--store", store).code == 0
    found = {}
    for name, baseline in (("saved", "before:grpo"), ("run", f"{run}:grpo")):
        file = tmp_path / f"{name}.json"
        options = ("--gate", gate, "--store", store, "--json", file)
        result = cli("regress", "--baseline", baseline, "--candidate", f"{run}:ppo", *options)
        assert result.code in (0, 1, 3), result.text
        found[name] = json.loads(file.read_text())
        assert found[name]["exit_code"] == result.code
    assert found["saved"]["metrics"] == found["run"]["metrics"]
    assert cli("baseline", "show", "before", "--store", store).out.count("matched") == 5
