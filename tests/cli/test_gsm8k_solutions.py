"""The solutions that OpenAI published with GSM8K, scored and compared: their own verdicts, completion by completion."""

import json

import pandas as pd
import pytest

MODELS = {"6b_finetuning": 286, "175b_finetuning": 458}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def solutions(data_dir):
    path = data_dir / "gsm8k" / "example_model_solutions.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def scored(solutions, data_dir, tmp_path_factory, cli):
    root = tmp_path_factory.mktemp("gsm8k")
    for model in MODELS:
        file = root / f"{model}.jsonl"
        file.write_text("".join(json.dumps({"completion": row[model]["solution"]}) + "\n" for row in solutions))
        result = cli("score", file, "--task", "gsm8k", "--split", "test", "--data-dir", data_dir, "--out", root / model)
        assert result.code == 0, result.text
        (root / f"{model}.txt").write_text(result.out)
    return root


@pytest.mark.parametrize(("model", "correct"), MODELS.items())
def test_the_number_of_correct_solutions(scored, model, correct):
    line = next(line for line in (scored / f"{model}.txt").read_text().splitlines() if line.startswith("correctness "))
    assert f"{correct}/1319" in line
    assert f"{100 * correct / 1319:.2f} %" in line


@pytest.mark.parametrize("model", MODELS)
def test_every_row_agrees_with_the_published_verdict(scored, solutions, model):
    frame = pd.read_parquet(scored / model / "scores" / "correctness.parquet")
    assert {"sample_id", "completion_index", "correct", "reason"} <= set(frame.columns)
    assert frame["sample_id"].tolist() == [f"test-{n:05d}" for n in range(1319)]
    assert (frame["completion_index"] == 0).all()
    assert frame["correct"].tolist() == [float(row[model]["is_correct"]) for row in solutions]


def test_rows_by_name_give_the_same_scores(scored, solutions, data_dir, tmp_path, cli):
    rows = [
        {"sample_id": f"test-{n:05d}", "completion": row["6b_finetuning"]["solution"]}
        for n, row in enumerate(solutions)
    ]
    (tmp_path / "named.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    arguments = ["--task", "gsm8k", "--data-dir", data_dir, "--out", tmp_path / "out"]
    assert cli("score", tmp_path / "named.jsonl", *arguments).code == 0
    for path in (scored / "6b_finetuning" / "scores").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / "scores" / path.name).read_bytes()


def test_the_comparison(scored, cli, tmp_path):
    result = cli("compare", scored / "6b_finetuning", scored / "175b_finetuning", "--out", tmp_path / "report")
    assert result.code == 0, result.text
    assert "13.0" in result.out
    assert "these checkpoints" in result.out
    comparison = json.loads((tmp_path / "report" / "comparison.json").read_text())
    (row,) = [row for row in comparison["estimates"] if row["metric"] == "correctness"]
    assert (row["a"], row["b"], row["primary"]) == ("6b_finetuning", "175b_finetuning", True)
    assert row["estimand"] == comparison["estimand"] == "checkpoints"
    assert row["value"] == pytest.approx((458 - 286) / 1319, abs=1e-12)
    # Paired standard error from the published verdicts alone: 0.0127, so about 13.0 ± 2.5 points.
    assert 0.09 < row["low"] < 0.115 < row["value"] < 0.145 < row["high"] < 0.17
    assert row["p_value"] < 1e-6
    assert row["p_adjusted"] >= row["p_value"]
    assert row["verdict"] == "improved"
    assert (tmp_path / "report" / "index.html").is_file()


def test_the_other_way_round_is_the_negative(scored, cli, tmp_path):
    for name, order in {"ab": list(MODELS), "ba": list(MODELS)[::-1]}.items():
        assert cli("compare", *(scored / model for model in order), "--out", tmp_path / name).code == 0
    one, other = (
        next(
            row for row in json.loads((tmp_path / name / "comparison.json").read_text())["estimates"] if row["primary"]
        )
        for name in ("ab", "ba")
    )
    assert one["value"] == pytest.approx(-other["value"], abs=1e-12)
    assert one["low"] == pytest.approx(-other["high"], abs=1e-12)
    assert one["p_value"] == pytest.approx(other["p_value"], rel=1e-9)
