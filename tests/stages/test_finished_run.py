"""What a finished run shows: all is matched, the numbers agree with the stored rows, nothing private is in it."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from rlbench.comparison import compare
from rlbench.errors import InputError

ARMS = ["sft", "ppo", "grpo", "gspo", "dpo"]
KEYS = {
    "a", "b", "task", "metric", "primary", "estimand", "unit", "higher_is_better", "paired_seeds", "by_seed",
    "by_seed_seeds", "seeds", "prompts", "survivors_only", "value", "low", "high", "simultaneous_low",
    "simultaneous_high", "standard_error", "df", "p_value", "p_adjusted", "adjustment", "method",
    "minimum_detectable_effect", "seeds_needed", "verdict",
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(finished):
    return finished[1]


@pytest.fixture(scope="module")
def comparison(run):
    (path,) = run.glob("compare/*/comparison.json")
    return json.loads(path.read_text())


def read(run, pattern):
    return [json.loads(path.read_text()) for path in sorted(run.glob(pattern))]


def rows(run, arm, seed, kind, grader=None):
    pattern = f"score/digits.{arm}.s{seed}-*/scores/{grader}.parquet" if grader else None
    (path,) = run.glob(pattern or f"sample/digits.{arm}.s{seed}-*/{kind}.parquet")
    return pd.read_parquet(path)


def test_all_runs_share_base_sft_prompt_order_and_evaluation(run, comparison):
    shared = [manifest["config"]["shared"] for manifest in read(run, "train/*/manifest.json")]
    assert len(shared) == 8
    assert all(each == shared[0] for each in shared)
    (fingerprints,) = comparison["fingerprints"]
    assert fingerprints == {"task": "digits", **shared[0], "match": True}
    assert shared[0].keys() == {"base", "sft", "prompt_order", "evaluation"}
    by_name = {m["name"]: m["fingerprint"] for m in read(run, "prepare/*/manifest.json")}
    assert by_name == {
        "base": shared[0]["base"],
        "sft.digits": shared[0]["sft"],
        "prompts.digits": shared[0]["prompt_order"],
    }
    for manifest in read(run, "train/*/manifest.json"):
        assert {role: made["fingerprint"] for role, made in manifest["inputs"].items()} == {
            "sft": shared[0]["sft"],
            "prompts": shared[0]["prompt_order"],
        }


def test_what_varies_between_runs_is_drawn_inside_them(run):
    outcomes = {path.parent.name.split("-")[0]: json.loads(path.read_text())["rollouts_digest"]
                for path in run.glob("train/*/outcome.json")}  # fmt: skip
    for arm in ARMS[1:]:
        assert outcomes[f"digits.{arm}.s0"] != outcomes[f"digits.{arm}.s1"], "seeds give different rollouts"
    assert len(set(outcomes.values())) == len(outcomes)


def test_shared_policy_is_evaluated_once_per_seed_with_independent_streams(run):
    first, second = (rows(run, "sft", seed, "completions")["completion"].tolist() for seed in (0, 1))
    assert first != second
    assert len(list(run.glob("sample/digits.sft.*"))) == 2


def test_every_policy_answers_the_same_prompts_in_the_same_order(run):
    expected = rows(run, "sft", 0, "completions")[["sample_id", "completion_index", "prompt"]]
    assert len(expected) == 20 * 2
    for arm in ARMS:
        for seed in (0, 1):
            assert rows(run, arm, seed, "completions")[["sample_id", "completion_index", "prompt"]].equals(expected)


def test_the_json_lines_twin_holds_the_same_rows(run):
    for path in run.glob("sample/*/completions.parquet"):
        twin = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().split("\n")[:-1]]
        assert pd.read_parquet(path).to_dict("records") == twin


def test_sft_is_its_own_reference(run):
    frame = rows(run, "sft", 0, "completions")
    assert (frame["logprob"] == frame["sft_logprob"]).all()
    trained = rows(run, "ppo", 0, "completions")
    assert (trained["logprob"] != trained["sft_logprob"]).any()


def test_scores_are_what_the_stored_rows_say(run, comparison):
    for score in comparison["scores"]:
        if score["metric"] not in ("matched", "mean_length"):
            continue
        for seed, value in zip(score["by_seed_seeds"], score["by_seed"], strict=True):
            completions = rows(run, score["arm"], seed, "completions")
            if score["metric"] == "matched":
                expected = completions["completion"].str.contains("[02468]").mean()
            else:
                expected = completions["tokens"].mean()
            assert value == pytest.approx(expected, abs=1e-12)
        assert score["value"] == pytest.approx(sum(score["by_seed"]) / 2, abs=1e-12)


def test_scores_cover_every_completion_and_say_why(run):
    frame = rows(run, "grpo", 1, None, "pattern")
    assert list(frame.columns) == ["sample_id", "completion_index", "matched", "reason"]
    assert len(frame) == 40
    assert frame.notna().all(axis=None)
    assert set(frame["reason"].str.split().str[0]) <= {"found", "not"}


def test_the_comparison_has_the_promised_keys(comparison):
    assert {
        "schema_version", "kind", "name", "signature", "estimand", "estimand_text", "confidence", "replicates", "seeds",
        "margin", "baseline", "arms", "metrics", "scores", "estimates", "slices", "fingerprints", "budget", "rewards",
        "best_of_n", "reward_models", "excluded", "runs", "findings",
    } == comparison.keys()  # fmt: skip
    assert [arm["name"] for arm in comparison["arms"]] == ARMS
    assert comparison["baseline"] == "sft"
    assert comparison["estimand"] == "recipe"
    metrics = [metric["name"] for metric in comparison["metrics"]]
    assert metrics == ["matched", "correctness", "distinct1", "mean_length", "perplexity", "kl_to_sft"]
    assert len(comparison["estimates"]) == len(metrics) * 10
    for estimate in comparison["estimates"]:
        assert estimate.keys() == KEYS or estimate.keys() == KEYS - {"adjustment", "method"} | {"reason"}
        assert estimate["primary"] == (estimate["metric"] == "matched")
        assert ARMS.index(estimate["a"]) < ARMS.index(estimate["b"]), "the baseline comes first"


def test_differences_are_b_minus_a_and_the_mean_over_seeds(comparison):
    scores = {(row["metric"], row["arm"]): row for row in comparison["scores"]}
    for row in comparison["estimates"]:
        a, b = scores[row["metric"], row["a"]], scores[row["metric"], row["b"]]
        expected = [y - x for x, y in zip(a["by_seed"], b["by_seed"], strict=True)]
        assert row["by_seed"] == pytest.approx(expected, abs=1e-12)
        assert row["value"] == pytest.approx(sum(row["by_seed"]) / 2, abs=1e-12)
        assert row["value"] == pytest.approx(b["value"] - a["value"], abs=1e-9)


def test_intervals_and_p_values_are_consistent(comparison):
    for row in comparison["estimates"]:
        assert row["low"] <= row["value"] <= row["high"]
        assert 0 <= row["p_value"] <= row["p_adjusted"] <= 1
        if row["primary"]:
            assert row["simultaneous_low"] <= row["low"]
            assert row["high"] <= row["simultaneous_high"]
        else:
            assert row["simultaneous_low"] is None


def test_the_primary_family_is_adjusted_by_holm(comparison):
    family = sorted((row for row in comparison["estimates"] if row["primary"]), key=lambda row: row["p_value"])
    assert {row["adjustment"] for row in family} == {"Holm"}
    running = 0.0
    for place, row in enumerate(family):
        running = max(running, min(1.0, (len(family) - place) * row["p_value"]))
        assert row["p_adjusted"] == pytest.approx(running, abs=1e-12)
    others = {row["adjustment"] for row in comparison["estimates"] if not row["primary"]}
    assert others == {"Benjamini-Hochberg (exploratory)"}


def test_every_currency_of_every_run_is_metered_and_the_budget_is_met(run, comparison):
    budget = comparison["budget"]
    assert budget["passed"]
    assert budget["failures"] == []
    assert len(budget["runs"]) == 8
    currencies = ("prompts", "completions", "generated_tokens", "trained_tokens", "reward_calls", "optimizer_steps")
    page = (run / "report" / "index.html").read_text()
    for row in budget["runs"]:
        assert row["completions"] == row["planned"] == row["reward_calls"] == 64
        assert row["prompts"] == 16
        assert all(row[currency] > 0 for currency in (*currencies, "flops"))
    for currency in currencies:
        assert currency.replace("_", " ") in page.lower()


def test_online_arms_take_at_least_four_steps_per_batch(comparison):
    steps = {row["arm"]: row["optimizer_steps"] for row in comparison["budget"]["runs"]}
    assert all(steps[arm] >= 4 * (64 // 16) for arm in ("ppo", "grpo", "gspo"))


def test_the_comparison_holds_no_seconds_dates_memory_or_paths(run, comparison):
    text = json.dumps(comparison)
    assert not re.search(r"\b20\d\d-\d\d-\d\d", text)
    assert not re.search(r"second|memory|bytes_|hostname", text)
    assert str(run) not in text
    assert "/tmp" not in text
    assert not re.search(r'"/', text)


def test_nothing_private_is_in_any_file(run):
    for path in run.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".jsonl", ".html", ".md", ".csv", ".sha256"):
            text = path.read_text()
            for place in (Path.home(), Path(__file__).parents[2]):
                assert f"{place}/" not in text, path


def test_the_report_lies_in_the_run_folder(run, comparison):
    report = run / "report"
    assert (report / "index.html").read_text().lower().startswith("<!doctype html>")
    assert json.loads((report / "comparison.json").read_text()) == comparison
    assert len(pd.read_csv(report / "estimates.csv")) == len(comparison["estimates"])
    assert len(pd.read_csv(report / "scores.csv")) == len(comparison["scores"])
    markdown = (report / "report.md").read_text()
    for name in re.findall(r"\]\((figures/[^)]+)\)", markdown):
        assert (report / name).is_file()


def test_the_report_names_what_the_issue_asks_for(run):
    page = (run / "report" / "index.html").read_text()
    for word in ("tokens/s", "GRPO", "Holm", "rlbench run", "peak memory", "this recipe on this benchmark"):
        assert word.lower() in page.lower(), word


def test_trained_models_load_as_any_hugging_face_folder(run):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (folder,) = run.glob("train/digits.gspo.s1-*/model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("6+2=")["input_ids"], skip_special_tokens=True) == "6+2="
    assert 1000 < sum(parameter.numel() for parameter in model.parameters()) < 20_000


def test_no_unfinished_work_is_left(run):
    assert not list(run.rglob("*.partial"))
    assert not list(run.rglob(".*.draft"))


def test_status_and_verify_agree_that_all_is_well(run, cli, contents):
    before = contents(run)
    status = cli("status", run)
    assert status.code == 0
    assert "33 done" in status.out
    assert "512 completions" in status.out
    verified = cli("verify", run)
    assert verified.code == 0
    assert "33 sealed folders" in verified.out
    assert contents(run) == before, "looking changes nothing"


def test_one_sealed_folder_can_be_verified(run, cli):
    (folder,) = run.glob("compare/*")
    assert "1 sealed folders" in cli("verify", folder).out


def test_comparing_the_run_again_gives_its_own_comparison(run, comparison):
    again = compare([run]).document
    for key in ("scores", "estimates", "slices", "metrics"):
        assert json.loads(json.dumps(again[key])) == [
            row | {"signature": again[key][place]["signature"]} if key == "metrics" else row
            for place, row in enumerate(comparison[key])
        ]
    assert again["mismatches"] == []


def test_single_arms_of_the_run_make_a_smaller_family(run, comparison):
    estimates = compare([f"{run}:sft", f"{run}:grpo"], metrics=["matched"]).estimates
    (row,) = estimates.to_dict("records")
    (published,) = [e for e in comparison["estimates"] if (e["a"], e["b"], e["metric"]) == ("sft", "grpo", "matched")]
    assert row["value"] == published["value"]
    assert row["p_value"] == row["p_adjusted"] == published["p_value"]
    with pytest.raises(InputError, match="expected one of its arms, sft, ppo, grpo, gspo, dpo, got 'trpo'"):
        compare([f"{run}:sft", f"{run}:trpo"])


def test_a_run_that_is_not_finished_is_refused(copied):
    _, run = copied
    (folder,) = run.glob("compare/*")
    folder.rename(run / "elsewhere")
    with pytest.raises(InputError, match="the run is not finished"):
        compare([run])
