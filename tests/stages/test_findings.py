"""Every finding is seen where it should be, not just below its threshold, and never in what was not logged."""

import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.artifacts.files import hash_file
from rlbench.stages.findings import CHECKS, by_severity, finding, findings, gamed
from rlbench.stages.trained_run import TrainedRun

GRPO = {"epochs": 1, "minibatches": 4, "clip_low": 0.2, "clip_high": 0.2, "advantage": "sample_std"}
PPO = {"epochs": 1, "minibatches": 4, "clip_low": 0.2, "clip_high": 0.2, "lam": 0.95}
HEALTHY = {
    "reward_std": [0.5] * 9,
    "zero_variance_groups": [0.0, 0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4],
    "truncated_fraction": [0.0] * 9,
    "empty_fraction": [0.0] * 9,
    "length_max": [8.0] * 9,
    "kl_nats": [0.0, 0.1, 0.2, 0.2, 0.3, 0.4, 0.4, 0.5, 0.5],
    "entropy": [0.28, 0.27, 0.25, 0.2, 0.2, 0.18, 0.15, 0.12, 0.1],
    "clip_fraction": [0.05, 0.04, 0.03, 0.03, 0.02, 0.02, 0.01, 0.0, 0.0],
    "value_explained_variance": [0.0, -0.02, 0.0, 0.01, 0.02, 0.02, 0.03, 0.03, 0.05],
    "reward_mean": [0.5, 0.52, 0.55, 0.6, 0.61, 0.66, 0.7, 0.74, 0.75],
    "grad_norm": [1.0] * 9,
}


def curve(**series):
    """Rows of a curve; a single value is logged nine times, None is not logged at all."""
    columns = {
        name: values if isinstance(values, list) else [values] * 9
        for name, values in (HEALTHY | series).items()
        if values is not None
    }
    longest = max(map(len, columns.values()), default=0)
    return [
        {"step": step, **{name: values[step] for name, values in columns.items() if step < len(values)}}
        for step in range(longest)
    ]


def run(seed=0, options=GRPO, arm="grpo", facts=None, **series):
    return TrainedRun(arm, "sums", seed, curve(**series), options, **(facts or {}))


def seen(*runs):
    return {row["name"]: row for row in findings(runs)}


def ramp(first, last, count=9):
    return [first + (last - first) * place / (count - 1) for place in range(count)]


CASES = {  # name -> (severity, what triggers it, what stays just below)
    "diverged": ("serious", {"facts": {"status": "diverged", "detail": "the gradient norm became nan", "step": 4}}, {}),
    "zero_variance_groups": ("serious", {"zero_variance_groups": 0.901}, {"zero_variance_groups": 0.899}),
    "dried up": ("info", {"zero_variance_groups": [0.1] * 6 + [0.91] * 3},
                 {"zero_variance_groups": [0.1] * 6 + [0.89] * 3}),
    "everything_truncated": ("serious", {"truncated_fraction": [0.0] * 6 + [0.9] * 3},
                             {"truncated_fraction": [1.0] * 6 + [0.89] * 3}),
    "kl_explosion": ("serious", {"kl_nats": [0.0] + [20.0] * 5 + [50.1] * 3},
                     {"kl_nats": [0.0] + [20.0] * 5 + [50.0] * 3}),
    "kl_growth": ("serious", {"kl_nats": [0.0, 0.15, 0.15, *[1.0] * 3, *[10.1] * 3]},
                  {"kl_nats": [0.0, 0.16, 0.15, *[1.0] * 3, *[10.1] * 3]}),
    "kl_growth of little": ("serious", {"kl_nats": [0.0] * 6 + [10.1] * 3}, {"kl_nats": [0.0] * 6 + [10.0] * 3}),
    "empty_completions": ("warning", {"empty_fraction": 0.1}, {"empty_fraction": 0.099}),
    "only empty_completions": ("serious", {"empty_fraction": 0.9}, {"empty_fraction": 0.09}),
    "missing_chat_template": ("warning", {"facts": {"chat_template": "unused"}}, {"facts": {"chat_template": "used"}}),
    "entropy_collapse": ("warning", {"entropy": [1.0, *[0.2] * 5, *[0.0499] * 3]},
                         {"entropy": [1.0, *[0.2] * 5, *[0.05] * 3]}),
    "clip_fraction_stuck": ("warning", {"clip_fraction": 0.675}, {"clip_fraction": 0.674}),
    "clip_fraction_stuck at 0": ("info", {"clip_fraction": 0.0}, {"clip_fraction": [0.0] * 8 + [1e-4]}),
    "no_step_taken": ("serious", {"step_share": [0.0] * 9 + [1.0]}, {"step_share": [0.0] * 8 + [1.0]}),
    "value_not_learnt": ("warning", {"value_explained_variance": ramp(-1.0, 0.0)},
                         {"value_explained_variance": [-1.0] * 6 + [0.001] * 3}),
    "reward_not_moving": ("warning", {"reward_mean": [0.5, 0.6, 0.4, 0.6, 0.5, 0.4, 0.5, 0.6, 0.5]}, {}),
    "reward_fell": ("warning", {"reward_mean": ramp(0.75, 0.5)}, {"reward_mean": ramp(0.5, 0.75)}),
}  # fmt: skip
FIELD = {"dried up": "zero_variance_groups", "kl_growth": "kl_explosion", "kl_growth of little": "kl_explosion",
         "only empty_completions": "empty_completions", "clip_fraction_stuck at 0": "clip_fraction_stuck"}  # fmt: skip


def test_a_healthy_run_has_no_finding():
    assert findings([run(), run(1, PPO, "ppo")]) == []


@pytest.mark.parametrize("case", CASES)
def test_a_finding_is_seen_at_its_threshold_and_not_below(case):
    severity, above, below = CASES[case]
    name = FIELD.get(case, case)
    (row,) = [row for row in findings([run(**above)]) if row["name"] == name]
    assert row["severity"] == severity
    assert (row["arm"], row["task"], row["seeds"]) == ("grpo", "sums", [0])
    assert row["text"].endswith(".")
    assert "{" not in row["text"]
    assert not {name} & seen(run(**below)).keys()


def test_preferences_count_at_the_end_of_training_on_pairs():
    """Offline, rows of drawing have rewards; those of optimizer steps have not."""
    drawn = [{"step": step, "reward_mean": 0.5, "reward_std": 0.5, "pairs": 8.0} for step in range(9)]

    def offline(accuracies):
        steps = [{"step": 9 + i, "preference_accuracy": v, "grad_norm": 1.0} for i, v in enumerate(accuracies)]
        return TrainedRun("dpo", "sums", 0, drawn + steps, {"epochs": 4})

    assert list(seen(offline([0.9] * 4 + [0.5] * 2))) == ["preferences_not_learnt"]
    assert seen(offline([0.4] * 4 + [0.51] * 2)) == {}, "nor does the constant reward of the drawing count"


def test_the_last_word_on_kl_is_the_evaluation_where_training_logged_none():
    def dpo(kl):
        return run(arm="dpo", options={"epochs": 4}, facts={"evaluated_kl": kl}, kl_nats=None)

    assert "60 nats" in seen(dpo(60.0))["kl_explosion"]["text"]
    assert seen(dpo(50.0)) == {}
    assert seen(run(facts={"evaluated_kl": 60.0})) == {}, "the curve says more than one evaluation"


def test_groups_of_equal_rewards_teach_algorithms_that_compare_across_groups():
    solved_or_not = {"zero_variance_groups": 1.0}
    assert "zero_variance_groups" in seen(run(**solved_or_not))
    assert seen(run(options=PPO, **solved_or_not)) == {}
    assert "zero_variance_groups" in seen(run(options=PPO, reward_std=0.0, **solved_or_not))
    assert "zero_variance_groups" in seen(run(options={"epochs": 1}, pairs=4.0, **solved_or_not))
    assert "zero_variance_groups" in seen(run(options=PPO | {"baseline": "group"}, **solved_or_not))


def test_a_reward_that_nobody_can_move_has_one_finding_not_two():
    flat = {"reward_mean": 0.0, "reward_std": 0.0, "zero_variance_groups": 1.0, "value_explained_variance": 0.0}
    assert list(seen(run(**flat))) == ["zero_variance_groups"]
    assert list(seen(run(options=PPO, **flat))) == ["zero_variance_groups"]


def test_with_one_step_per_batch_the_clip_is_no_topic():
    assert seen(run(options=GRPO | {"minibatches": 1}, clip_fraction=0.0)) == {}
    two = seen(run(options=GRPO | {"minibatches": 2}, clip_fraction=0.45))["clip_fraction_stuck"]
    assert "90 %" in two["text"], "the first of two steps is on-policy, so that all of the second is half of all"


def test_a_run_without_diagnostics_has_no_finding():
    rows = [{"step": step, "completions": 16 * step, "dev_reward": 0.5} for step in range(20)]
    assert findings([TrainedRun("grpo", "sums", 0, rows, GRPO), TrainedRun("grpo", "sums", 1)]) == []


@given(st.sets(st.sampled_from(sorted(HEALTHY))), st.sampled_from([math.nan, None]))
def test_what_was_not_logged_is_never_zero(gone, gap):
    """Leaving diagnostics out, or logging no number for them, cannot make a finding."""
    left_out = run(options=PPO, **dict.fromkeys(gone))
    no_number = TrainedRun("grpo", "sums", 0, [row | dict.fromkeys(gone, gap) for row in curve()], PPO)
    assert findings([left_out, no_number]) == []


@given(st.lists(st.floats(-1e6, 1e6), max_size=12), st.sampled_from([*HEALTHY, "step_share", "preference_accuracy"]))
def test_any_curve_gives_rows_that_json_can_hold(values, name):
    for row in findings([run(**{name: values or None})]):
        assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_seeds_share_a_finding_with_the_range_of_what_was_seen():
    runs = [run(seed, truncated_fraction=share) for seed, share in ((2, 0.95), (0, 1.0), (1, 0.1))]
    (row,) = findings(runs)
    assert row["seeds"] == [0, 2]
    assert row["text"].startswith(
        "95 to 100 % of the completions were cut off at the length limit (tokens of the longest: 8)"
    )
    assert row["step"] == 0
    other_arm = TrainedRun("ppo", "sums", 0, curve(truncated_fraction=1.0), PPO)
    assert [(row["arm"], row["seeds"]) for row in findings([*runs, other_arm])] == [("grpo", [0, 2]), ("ppo", [0])]


def test_the_step_is_the_first_at_which_it_was_so():
    (row,) = findings([run(truncated_fraction=[0.0] * 5 + [1.0] * 4)])
    assert row["step"] == 5
    diverged = {"status": "diverged", "detail": "the gradient norm became nan at step 7", "step": 7}
    (row,) = findings([run(facts=diverged)])
    assert row["step"] == 7
    assert "the gradient norm became nan at step 7" in row["text"]


def test_texts_with_braces_stay_as_they_are():
    (row,) = findings([run(facts={"status": "diverged", "detail": "{0} {detail} {x!r}"})])
    assert "{0} {detail} {x!r}" in row["text"]


def test_equal_rollouts_of_two_seeds_are_found():
    digests = {0: "aa", 1: "bb", 2: "aa", 3: ""}
    runs = [run(seed, facts={"rollouts_digest": digest}) for seed, digest in digests.items()]
    (row,) = findings(runs)
    assert (row["name"], row["severity"], row["seeds"]) == ("identical_rollouts", "warning", [0, 2])
    other_arm = run(1, facts={"rollouts_digest": "bb"}, arm="ppo", options=PPO)
    assert len(findings([*runs, other_arm])) == 1, "two arms may share their first rollouts"


def test_the_most_serious_comes_first_and_order_stays_otherwise():
    rows = [finding(name, severity, "x.") for name, severity in (("a", "info"), ("b", "serious"), ("c", "info"))]
    assert [row["name"] for row in by_severity(rows)] == ["b", "a", "c"]


def estimate(**changes):
    return {"a": "sft", "b": "grpo", "task": "sums", "metric": "correctness", "primary": True, "unit": "fraction",
            "value": -0.123, "verdict": "worse"} | changes  # fmt: skip


def test_a_reward_that_rises_while_the_metric_falls_is_hacked():
    (row,) = gamed([run(), run(1, reward_mean=0.5)], [estimate()], "sft")
    assert (row["name"], row["severity"], row["arm"], row["seeds"]) == ("reward_hacking", "serious", "grpo", [0])
    assert "rose from 0.523 to 0.73" in row["text"]
    assert "12.3 points worse than that of sft" in row["text"]
    for innocent in ({"verdict": "not decided"}, {"primary": False}, {"b": "ppo"}, {"a": "ppo"}, {"task": "other"}):
        assert list(gamed([run()], [estimate(**innocent)], "sft")) == []


RISING = ramp(0.5, 0.9, 12)
GOLD_FALLS = [0.5, 0.52, 0.55, 0.56, 0.55, 0.54, 0.5, 0.45, 0.41, 0.4, 0.38, 0.35]


def golden(**series):
    return run(**dict.fromkeys(HEALTHY) | {"grad_norm": [1.0] * 12, "reward_std": [0.5] * 12} | series)


def test_a_reward_that_rises_while_gold_falls_is_over_optimised():
    (row,) = findings([golden(reward_mean=RISING, gold_mean=GOLD_FALLS)])
    assert (row["name"], row["severity"]) == ("over_optimisation", "serious")
    assert "gold was 0.553 then, and 0.377 at the end" in row["text"]
    assert row["step"] == 4, "the last one of the window in which gold was at its best"


def share_found(count, gold, autocorrelation=0.0, runs=200):
    """Share of runs that are over-optimised where the proxy rises; noise has a standard deviation of 0.05."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(runs):
        noise = list(random.normal(0, 0.05, 1))
        for shock in random.normal(0, 0.05 * (1 - autocorrelation**2) ** 0.5, count - 1):
            noise.append(autocorrelation * noise[-1] + shock)
        proxy = np.linspace(0, 1, count) + random.normal(0, 0.02, count)
        series = {"reward_mean": proxy.tolist(), "gold_mean": (gold(np.linspace(0, 1, count)) + noise).tolist()}
        found += "over_optimisation" in seen(golden(**series | {"grad_norm": [1.0] * count, "reward_std": None}))
    return found / runs


@pytest.mark.parametrize("count", [9, 20, 60])
def test_gold_that_is_only_noisy_is_not_over_optimised(count):
    assert share_found(count, np.zeros_like) == 0
    assert share_found(count, np.zeros_like, autocorrelation=0.5) < 0.05


@pytest.mark.parametrize(
    ("count", "gold"),
    [
        (9, lambda time: 1 - time),
        (60, lambda time: 0.5 * (1 - time)),
        (60, lambda time: np.clip(1 - time / 0.15, 0, 1)),
        (60, lambda time: np.minimum(0.5 + time * 0.5 / 0.8, (1 - time) / 0.2)),
    ],
    ids=["few rows", "slow fall", "fast hack", "late fall"],
)
def test_gold_that_falls_at_any_time_is_over_optimised(count, gold):
    assert share_found(count, gold, runs=30) > 0.9


@pytest.mark.parametrize(
    "series",
    [
        {"reward_mean": RISING, "gold_mean": RISING},
        {"reward_mean": RISING},
        {"reward_mean": RISING[:8], "gold_mean": GOLD_FALLS[:8], "grad_norm": [1.0] * 8},
        {"reward_mean": RISING, "gold_mean": [0.5, 0.3] * 6},
    ],
    ids=["gold rises too", "no gold", "too short", "noise"],
)
def test_nothing_is_over_optimised_here(series):
    assert "over_optimisation" not in seen(golden(**series))


def test_preference_based_runs_are_over_optimised_by_their_dev_rewards():
    gap = [None] * 6
    series = {"reward_mean": gap + [None] * 12, "dev_reward": gap + RISING, "dev_gold": gap + GOLD_FALLS}
    drawing = {"grad_norm": gap + [1.0] * 12, "reward_std": None}
    assert "over_optimisation" in seen(golden(**drawing, **series))
    assert "over_optimisation" not in seen(golden(**drawing, **series | {"dev_gold": gap + RISING}))


def test_pairs_that_seeds_share_on_purpose_are_named_so():
    runs = [
        run(seed, facts={"rollouts_digest": "aa"}, arm="dpo", pairs=[4.0] * 3, grad_norm=[None] * 3 + [1.0] * 6)
        for seed in (0, 1)
    ]
    assert [row["name"] for row in findings(runs)] == ["identical_rollouts"]
    assert [row["name"] for row in findings(runs, shared_pairs=True)] == ["shared_pairs"]
    online = [run(seed, facts={"rollouts_digest": "aa"}) for seed in (0, 1)]
    assert [row["name"] for row in findings(online, shared_pairs=True)] == ["identical_rollouts"]


def test_every_check_is_tried():
    tried = {row["name"] for case in CASES.values() for row in findings([run(**case[1])])}
    tried |= {"preferences_not_learnt", "over_optimisation"}
    assert len(tried) == len(CHECKS) + 1, "one check sees a reward that stands still or falls"


@pytest.mark.slow
def test_a_run_in_which_all_goes_wrong_says_so_everywhere(finished, write_experiment, tmp_path, cli):
    """A chat policy without its template, one token per completion, a reward that everything gets, a wide clip."""
    (model,) = finished[1].glob("prepare/sft.digits-*/model")
    chat = shutil.copytree(model, tmp_path / "chat")
    template = "{% for message in messages %}<|user|>{{ message.content }}</s>{% endfor %}"
    (chat / "chat_template.jinja").write_text(template)
    gspo = {"name": "gspo", "clip_low": 0.2, "clip_high": 0.2}
    file = write_experiment(
        tmp_path,
        base_policy=None,
        sft="none",
        algorithms=[gspo],
        reward={"grader": "pattern", "column": "matched", "options": {"pattern": "(?s).*"}},
        rollout={"prompts_per_batch": 4, "completions_per_prompt": 4, "max_new_tokens": 1},
    )
    result = cli("run", file, "--out", tmp_path / "run", "--set", f"base_policy={{path: {chat}}}")
    assert result.code == 0, result.text
    comparison = json.loads((tmp_path / "run" / "report" / "comparison.json").read_text())
    found = {row["name"]: row for row in comparison["findings"]}
    expected = ["zero_variance_groups", "everything_truncated", "missing_chat_template", "suspicious_option"]
    assert [name for name in found if name in expected] == expected
    assert found["zero_variance_groups"]["seeds"] == [0, 1]
    assert "tokens of the longest: 1" in found["everything_truncated"]["text"]
    assert found["suspicious_option"]["arm"] == "gspo"
    page, markdown = ((tmp_path / "run" / "report" / name).read_text() for name in ("index.html", "report.md"))
    for row in found.values():
        assert row["text"][:30] in " ".join(result.out.split())
    for text in (page, markdown):
        assert "GSPO, every seed" in text
        assert "2 serious" in text
    (sealed,) = (tmp_path / "run").glob("compare/*/comparison.json")
    assert hash_file(sealed) == hash_file(tmp_path / "run" / "report" / "comparison.json")


def test_completions_that_could_not_be_scored_have_no_seed(digits, tmp_path, cli):
    """How varied the words of an empty completion are cannot be said."""
    for name in ("a", "b"):
        rows = "".join(json.dumps({"completion": "A: 1" if n else ""}) + "\n" for n in range(24))
        (tmp_path / f"{name}.jsonl").write_text(rows)
        chosen = ["--metric", "matched", "--metric", "distinct1"]
        scored = cli("score", tmp_path / f"{name}.jsonl", "--task", digits, "--out", tmp_path / name, *chosen)
        assert scored.code == 0, scored.text
    result = cli("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out")
    assert result.code == 0, result.text
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())["findings"]
    assert [(row["name"], row["arm"], row["seeds"]) for row in found] == [("unscored", "a", []), ("unscored", "b", [])]
    assert "info: a: distinct1: 1 of 24 completions could not be scored" in " ".join(result.out.split())


@pytest.mark.parametrize(("options", "named"), [(GRPO, "learning_rate"), ({"max_kl": 0.01}, "max_kl")])
def test_the_remedy_names_an_option_that_the_algorithm_has(options, named):
    (found,) = findings([run(options=options, reward_mean=[0.5, 0.6, 0.4, 0.6, 0.5, 0.4, 0.5, 0.6, 0.5])])
    assert f"Raise the budget or {named}, or use" in found["text"]
    (found,) = findings([run(options=options, reward_mean=ramp(0.75, 0.5))])
    assert f"Lower {named}, and look" in found["text"]


def test_where_there_is_no_gradient_neither_line_search_nor_clip_is_to_blame():
    idle = seen(
        run(options={"max_kl": 0.01, "advantage": "mean_only"}, step_share=0.0, grad_norm=0.0, zero_variance_groups=1.0)
    )
    assert "no_step_taken" not in idle
    assert "zero_variance_groups" in idle
    still = seen(run(clip_fraction=0.0, grad_norm=0.0, zero_variance_groups=1.0))
    assert "clip_fraction_stuck" not in still
