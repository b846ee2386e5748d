"""A broken trainer is caught and the same recipe with other seeds is not, with real training runs on both sides."""

import json

import pytest

pytestmark = pytest.mark.slow

LARGE = {"budget": {"completions": 384}, "evaluation": {"prompts": 24, "samples_per_prompt": 10}}


@pytest.fixture(scope="module")
def judged(run_once, cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    (folder / "gate.yaml").write_text("metrics:\n  matched: {margin: 0.03}\n")
    recipe = {"name": "grpo", "learning_rate": 0.006}
    _, baseline = run_once("regress_baseline", algorithms=[recipe], seeds=[0, 1, 2, 3, 4], **LARGE)

    def judge(name, seeds, **changes):
        _, candidate = run_once(f"regress_{name}", algorithms=[recipe | changes], seeds=seeds, **LARGE)
        result = cli(
            "regress", "--baseline", f"{baseline}:grpo", "--candidate", f"{candidate}:grpo",
            "--gate", folder / "gate.yaml", "--json", folder / f"{name}.json",
        )  # fmt: skip
        (row,) = json.loads((folder / f"{name}.json").read_text())["metrics"]
        return result, row

    return judge


def test_ten_times_the_kl_coefficient_is_a_regression(judged):
    result, row = judged("broken", [0, 1, 2, 3, 4], beta=0.4)
    assert (result.code, row["verdict"]) == (1, "regressed")
    assert "REGRESSED" in result.out


def test_the_same_recipe_with_other_seeds_is_none(judged):
    result, row = judged("again", [10, 11, 12, 13, 14])
    assert result.code == 0, result.out
    assert row["verdict"] in ("equivalent", "non-inferior", "improved", "worse within margin")
