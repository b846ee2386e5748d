"""The plan of an experiment: what is shared, what a change reaches, and what is refused before anything is made."""

import pytest

from rlbench.artifacts.run_folder import RunFolder
from rlbench.errors import InputError
from rlbench.experiment import Plan, Run
from rlbench.spec import read_experiment


@pytest.fixture
def plan(write_experiment, tmp_path):
    def make(changes=(), **keys):
        spec, document = read_experiment(write_experiment(tmp_path, **keys), list(changes))
        return Plan(spec, RunFolder(tmp_path / "run"), None, document=document)

    return make


GRPO0 = Run("digits", "grpo", 0)


def fingerprints(plan):
    done = {run: {"status": "completed", "detail": "", "step": None} for run in plan.runs()}
    parts = [*plan.training(), *plan.evaluation(done), plan.compare(done)]
    return {(part.stage, part.name): part.fingerprint for part in parts}


def changed(before, after):
    return {key for key in before if before[key] != after.get(key)}


def test_an_experiment_is_made_of_these_parts(plan):
    names = list(fingerprints(plan()))
    assert [name for stage, name in names if stage == "prepare"] == ["base", "sft.digits", "prompts.digits"]
    arms = ("ppo", "grpo", "gspo", "dpo")
    assert [name for stage, name in names if stage == "train"] == [f"digits.{a}.s{s}" for s in (0, 1) for a in arms]
    assert sum(stage == "sample" for stage, _ in names) == sum(stage == "score" for stage, _ in names) == 10


def test_inputs_come_before_what_is_made_from_them(plan):
    made = plan()
    done = {run: {"status": "completed", "detail": "", "step": None} for run in made.runs()}
    seen = set()
    for part in [*made.training(), *made.evaluation(done), made.compare(done), made.report(made.compare(done))]:
        assert {identity.fingerprint for identity in part.inputs.values()} <= seen
        seen.add(part.fingerprint)


def test_the_same_file_gives_the_same_fingerprints(plan):
    assert fingerprints(plan()) == fingerprints(plan())


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("sft.epochs=3", {"prepare", "train", "sample", "score", "compare"}),
        ("base_policy.hidden_size=32", {"prepare", "train", "sample", "score", "compare"}),
        ("rollout.max_prompt_tokens=3", {"prepare", "train", "sample", "score", "compare"}),
        ("rollout.temperature=0.9", {"train", "sample", "score", "compare"}),
        ("evaluation.temperature=0.9", {"train", "sample", "score", "compare"}),
        ("comparison.replicates=300", {"compare"}),
        ("comparison.confidence=0.9", {"compare"}),
        ("training.checkpoint_every=7", set()),
        ("device=auto", set()),
    ],
)
def test_a_change_reaches_what_it_shapes_and_nothing_else(plan, change, stages):
    before, after = fingerprints(plan()), fingerprints(plan([change]))
    assert {stage for stage, _ in changed(before, after)} == stages


def test_an_option_of_one_arm_reaches_only_that_arm(plan):
    before, after = fingerprints(plan()), fingerprints(plan(["algorithms.1.beta=0.3"]))
    assert {name for stage, name in changed(before, after)} == {"digits.grpo.s0", "digits.grpo.s1", "all"}


def test_a_seed_is_part_of_the_run_alone(plan):
    made = plan()
    one, other = made.train(GRPO0), made.train(Run("digits", "grpo", 1))
    assert one.fingerprint != other.fingerprint
    assert {**one.config, "seed": 1} == other.config


def test_labels_and_names_do_not_change_results(plan):
    before = plan()
    after = plan(algorithms=[{"name": "grpo", "label": "mine", "learning_rate": 0.01}], name="other")
    assert before.train(GRPO0).fingerprint == after.train(Run("digits", "mine", 0)).fingerprint


def test_a_bigger_budget_of_one_arm_keeps_the_prompt_order_of_all(plan):
    """The order is made for the largest budget; smaller ones use its beginning."""
    entry = {"name": "grpo", "budget": {"completions": 128}}
    made = plan(algorithms=["ppo", entry])
    assert made.parts.prompts(made.tasks["digits"]).config["prompts"] == 32
    assert made.train(GRPO0).config["prompts"] == 32
    assert made.train(Run("digits", "ppo", 0)).config["prompts"] == 16


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        (["algorithms=[grpo, gprpo]"], "algorithms", "algorithm 'gprpo' does not exist"),
        (["algorithms=[{name: grpo, betta: 1}]"], "algorithms", "algorithm 'grpo': unknown option 'betta'"),
        (["algorithms=[{name: dpo, beta: -1}]"], "algorithms", "algorithm 'dpo': option 'beta'"),
        (
            ["algorithms=[{name: ppo, logprob_temperature: one}]", "rollout.temperature=0.7"],
            "algorithms",
            "ratio and KL would be about another policy than the one that sampled",
        ),
        (["algorithms=[{name: grpo, beta: 0.1, kl_estimator: k1}]"], "algorithms", "its expected gradient is 0"),
        (["tasks=[arithmetics]"], "tasks", "task 'arithmetics' does not exist (known: arithmetic, cnn_dailymail, code"),
        (["tasks=[./nowhere]"], "tasks", "task folder ./nowhere does not exist"),
        (["evaluation.metrics=[matched, rougel]"], "evaluation", "metric 'rougel' does not exist"),
        (["comparison.primary=rightness"], "comparison", "metric 'rightness' does not exist"),
        (["comparison.margin={marked: 0.1}"], "comparison", "comparison.margin: metric 'marked' does not exist"),
        (["evaluation.split=valid"], "evaluation", "split 'valid' not found (has: dev, test, train)"),
        (["evaluation.prompts=25"], "evaluation", "evaluation.prompts is 25, but task 'digits' has only 24"),
        (["reward={grader: patern, column: matched}"], None, "grader 'patern' does not exist"),
        (["reward={grader: pattern, column: hit, options: {pattern: x}}"], None, "column of grader 'pattern' 'hit'"),
        (["reward={grader: pattern, column: matched, options: {patern: x}}"], None, "unknown option 'patern'"),
        (["reward={grader: pattern, column: matched, options: {pattern: '('}}"], None, "is not a regular expression"),
        (["base_policy={path: /nowhere}"], "base_policy", "folder /nowhere does not exist"),
        (["base_policy={data: nothing}"], "base_policy", "name that with --data-dir or RLBENCH_DATA_DIR"),
    ],
)
def test_mistakes_are_found_before_anything_is_made(plan, tmp_path, changes, line, message, monkeypatch):
    monkeypatch.delenv("RLBENCH_DATA_DIR", raising=False)
    with pytest.raises(InputError) as caught:
        plan(changes)
    found = str(caught.value)
    assert message in found
    assert found.startswith(f"{tmp_path / 'experiment.yaml'}:"), "every message names the file"
    if line:
        lines = (tmp_path / "experiment.yaml").read_text().splitlines()
        number = int(found.split(":")[1])
        assert lines[number - 1].startswith((line, "- ", "  "))
        assert any(each.startswith(line) for each in lines[:number])
    assert not (tmp_path / "run").exists()


def test_log_probabilities_of_the_model_as_it_is_are_those_of_sampling_at_temperature_one(plan):
    assert plan(["algorithms=[{name: ppo, logprob_temperature: one}]"]).resolved.warnings() == []


def test_suspicious_options_are_allowed_and_told_once_per_arm(plan):
    wide = "algorithms=[grpo, {name: gspo, clip_low: 0.2, clip_high: 0.2}, {name: gspo, label: narrow}]"
    made = plan([wide])
    (warning,) = made.resolved.warnings()
    assert warning["arm"] == "gspo"
    assert "about 500 times the paper's 4e-4" in warning["text"]
    done = {run: {"status": "completed", "detail": "", "step": None} for run in made.runs()}
    assert made.compare(done).config["warnings"] == [warning]


def test_a_mistake_of_the_task_is_told_with_its_file_and_line(plan, new_task, tmp_path):
    task = new_task(tmp_path / "bad")
    text = (task / "task.yaml").read_text()
    for old, new, message in [
        ("distinct1,", "distinct9,", "metric 'distinct9' does not exist"),
        ('{pattern: {pattern: "[02468]"}}', "{pattern: {patern: x}}", "unknown option 'patern'"),
        ("reward: pattern.matched", "reward: pattern.hit", "column of grader 'pattern' 'hit' does not exist"),
    ]:
        (task / "task.yaml").write_text(text.replace(old, new))
        with pytest.raises(InputError) as caught:
            plan([f"tasks=[{task}]"])
        assert message in str(caught.value)
        assert str(caught.value).startswith(f"{task / 'task.yaml'}:")


def test_two_tasks_of_one_name_are_refused(plan, digits, new_task, tmp_path):
    with pytest.raises(InputError, match=r"two of them are called 'digits'"):
        plan([f"tasks=[{digits}, {new_task(tmp_path / 'copy')}]"])


def test_test_prompts_in_training_are_refused(plan, new_task, tmp_path):
    task = new_task(tmp_path / "leaky")
    with (task / "train.jsonl").open("a") as file:
        file.write((task / "test.jsonl").read_text().splitlines()[3] + "\n")
    with pytest.raises(InputError, match=r"1 of 24 prompts of split 'test' also stand in train \(first: test-00003,"):
        plan([f"tasks=[{task}]"])
