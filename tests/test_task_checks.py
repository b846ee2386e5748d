"""`rlbench tasks check` passes for sound tasks, and each check fails for the plant that it is there for."""

import json
import shutil
from pathlib import Path

import pytest

from rlbench.errors import InputError
from rlbench.task_checks.check import Check
from rlbench.task_checks.generated import check_generated
from rlbench.task_checks.run import run_checks
from rlbench.tasks.task import load_task

WORDS = [
    "red house",
    "blue river",
    "old horse",
    "small garden",
    "cold winter",
    "loud street",
    "long road",
    "warm bread",
]
WORDS += ["green apple", "tall tower", "quiet lake", "broken chair"]


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def change(path, number, **fields):
    rows = rows_of(path)
    rows[number] |= fields
    write(path, rows)


def failed(folder, **options):
    """The failed checks of a task by name, and what they say."""
    checks = list(run_checks(load_task(Path(folder)), **options))
    assert all(isinstance(check, Check) for check in checks)
    return {check.name: check.detail for check in checks if check.status == "failed"}


@pytest.fixture
def arithmetic(tmp_path):
    """A copy of the built-in task, cut to 40 rows a file so that checking it takes no time."""
    folder = Path(shutil.copytree(load_task("arithmetic").folder, tmp_path / "arithmetic"))
    (folder / "generate.py").unlink()
    for path in folder.glob("*.jsonl"):
        write(path, rows_of(path)[:40])
    return folder


YAML = """\
name: colours
description: Two words to repeat
licence: CC0-1.0
source: {{kind: file, splits: {{train: train.jsonl, test: test.jsonl}}}}
prompt: "Say {{words}}"
references: ["{{references}}"]
max_new_tokens: 8
reward: {reward}
graders: {graders}
metrics: [rougeL]
primary: rougeL
"""


@pytest.fixture
def colours(tmp_path):
    """`colours(reward, graders)`: a task with two references a row and no answers."""

    def make(reward="rouge.rougeL", graders="{rouge: {references: best}}"):
        folder = tmp_path / "colours"
        folder.mkdir(exist_ok=True)
        (folder / "task.yaml").write_text(YAML.format(reward=reward, graders=graders))
        made = [{"words": words, "references": [f"a {words}", f"the {words} there"]} for words in WORDS]
        write(folder / "test.jsonl", made)
        write(folder / "train.jsonl", [{"words": "x", "references": ["x y"]}])
        return folder

    return make


def test_sound_tasks_pass(arithmetic, colours):
    assert failed(arithmetic) == failed(arithmetic, full=True) == {}
    assert failed(colours()) == {}
    assert failed(load_task("stories").folder) == {}


@pytest.mark.parametrize("place", ["train", "dev", "demonstrations"])
def test_a_planted_overlap_is_caught(arithmetic, place):
    shown = rows_of(arithmetic / "test.jsonl")[7]
    change(arithmetic / f"{place}.jsonl", 3, a=shown["a"], b=shown["b"])
    found = failed(arithmetic)
    (name,) = [each for each in found if each.startswith("overlap")]
    assert name in (f"overlap, {place} and test", f"overlap, test and {place}")
    assert "1 of 40: " in found[name]
    assert (f"{arithmetic}/test.jsonl:8" in found[name]) or (f"{arithmetic}/{place}.jsonl:4" in found[name])


def test_training_prompts_may_stand_in_the_demonstrations(arithmetic):
    shown = rows_of(arithmetic / "train.jsonl")[7]
    change(arithmetic / "demonstrations.jsonl", 3, a=shown["a"], b=shown["b"])
    assert failed(arithmetic) == {}


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_planted_wrong_reference_is_caught(arithmetic, split):
    change(arithmetic / f"{split}.jsonl", 11, reference="A: 7")
    found = failed(arithmetic)
    assert set(found) == {f"{check}, reward and gold correctness.correct" for check in ("references", "answers")}
    for detail in found.values():
        assert f"{arithmetic}/{split}.jsonl:12: " in detail
        assert "'A: 7'" in detail


def test_a_wrong_reference_that_the_verifier_takes_at_its_word(arithmetic):
    """`exact` compares with references and answer alike: only the answer alone can tell."""
    text = (arithmetic / "task.yaml").read_text().replace("reward: correctness.correct", "reward: exact.exact")
    (arithmetic / "task.yaml").write_text(text)
    assert failed(arithmetic) == {}
    change(arithmetic / "test.jsonl", 0, reference="A: 7")
    found = failed(arithmetic)
    assert set(found) == {"answers, reward and gold exact.exact"}
    assert "test.jsonl:1: reference 'A: 7' is wrong by answer" in found["answers, reward and gold exact.exact"]


def test_a_wrong_reference_among_several_is_caught(colours):
    folder = colours()
    change(folder / "test.jsonl", 4, references=["a cold winter", "nobody knows"])
    found = failed(folder)
    assert set(found) == {"agreement, reward and gold rouge.rougeL"}
    assert "test.jsonl:5: reference 'nobody knows' gets 0 " in found["agreement, reward and gold rouge.rougeL"]


def test_a_reward_that_takes_anything_is_caught(colours):
    found = failed(colours("pattern.matched", "{pattern: {pattern: '.'}}"))
    kinds = {name.split(",")[0] for name in found}
    assert kinds == {"garbage", "another's", "hedged"}
    assert "12 of 12" in found["garbage, reward and gold pattern.matched"]
    empty = failed(colours("pattern.matched", "{pattern: {pattern: '^$|house|a|e|i|o'}}"))
    assert {name.split(",")[0] for name in empty} >= {"empty"}


def test_a_reward_that_prefers_more_words_is_caught(colours):
    """A sum of lengths is no verifier: it has many values, and a hedged answer gets the most."""
    found = failed(colours("length.words", "{}"))
    kinds = {name.split(",")[0] for name in found}
    assert kinds >= {"references", "garbage", "hedged"}
    assert "gets 6; expected at most" in found["garbage, reward and gold length.words"]


def test_a_value_that_is_not_finite_is_caught(colours):
    found = failed(colours("likelihood.kl_nats", "{}"))
    assert "values, reward and gold likelihood.kl_nats" in found


def test_a_reference_too_long_is_caught(colours):
    folder = colours()
    change(folder / "test.jsonl", 2, references=["old horse " * 5, "the old horse"])
    found = failed(folder)
    assert f"{folder}/test.jsonl:3: a reference has 10 words, but max_new_tokens is 8" in found["lengths, test"]
    assert "lengths, test" in failed(colours(), tokens=len)
    change(colours() / "test.jsonl", 2, references=["  ", "the old horse"])
    assert "a reference is empty" in failed(folder)["lengths, test"]


def test_preferences(arithmetic):
    with (arithmetic / "task.yaml").open("a") as file:
        file.write('preferences: {file: pairs.jsonl, chosen: "{good}", rejected: "{bad}"}\n')
    pairs = [row | {"good": f"A: {row['sum']}", "bad": "A: 1"} for row in rows_of(arithmetic / "train.jsonl")[:4]]
    pairs[0] |= {"good": "A: 1", "bad": f"A: {pairs[0]['sum']}"}
    write(arithmetic / "pairs.jsonl", pairs)
    checks = {check.name: check for check in run_checks(load_task(arithmetic))}
    assert checks["preferences"].status == "ok"
    assert "4 pairs; gold is higher for the chosen one in 75.0 % of 4" in checks["preferences"].detail
    change(arithmetic / "pairs.jsonl", 2, bad=pairs[2]["good"])
    assert "chosen and rejected are the same" in failed(arithmetic)["preferences"]


def test_a_grader_that_cannot_judge_here_is_not_passed(colours):
    checks = {check.name: check for check in run_checks(load_task(colours("reward_model.reward", "{}")))}
    assert checks["reward and gold reward_model.reward"].status == "not checked"
    assert "no reward model" in checks["reward and gold reward_model.reward"].detail


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("reward: rouge.", "reward: rouges.", 8, "did you mean 'rouge'"),
        ("reward: rouge.rougeL", "reward: rouge.rougel", 8, "did you mean 'rougeL'"),
        ("graders: {", "gold: rouge.foo\ngraders: {", 9, "column of grader 'rouge' 'foo' does not exist"),
        ("{references: best}", "{x: 1}", 9, "'x'"),
        ("{rouge: {references: best}}", "{foo: {a: 1}}", 9, "grader 'foo' does not exist"),
        ("{rouge: {references: best}}", "\n  squad: {a: 1}", 10, "'a'"),
        ("[rougeL]", "[rougeL, foo]", 10, "metric 'foo' does not exist"),
    ],
)
def test_names_that_do_not_exist(colours, old, new, line, message):
    """Also graders and metrics that the reward does not need; the message names the line."""
    folder = colours()
    text = (folder / "task.yaml").read_text()
    assert old in text
    (folder / "task.yaml").write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        list(run_checks(load_task(folder)))
    assert str(caught.value).startswith(f"{folder}/task.yaml:{line}: ")
    assert message in str(caught.value)


def test_a_row_without_references_is_caught(colours):
    folder = colours()
    change(folder / "test.jsonl", 3, references=[])
    change(folder / "train.jsonl", 0, references=[])
    found = failed(folder)
    assert f"1 of 23: {folder}/test.jsonl:4: has no reference" in found["lengths, test"]
    assert f"{folder}/train.jsonl:1: has no reference" in found["lengths, train"]


def statuses(folder):
    return {check.name: (check.status, check.detail) for check in run_checks(load_task(Path(folder)))}


def test_references_that_nothing_else_can_judge_are_not_called_right(arithmetic, colours):
    status, detail = statuses(colours())["answers, reward and gold rouge.rougeL"]
    assert (status, detail.partition(":")[0]) == ("not checked", "nothing but the references says what is right")
    name = "answers, reward and gold correctness.correct"
    assert statuses(arithmetic)[name][0] == "ok"
    text = (arithmetic / "task.yaml").read_text().replace('answer: "A: {sum}"', 'answer: "{reference}"')
    (arithmetic / "task.yaml").write_text(text)
    assert statuses(arithmetic)[name] == ("not checked", "references and answer both come from reference")
    shown = [row | {"reference": row["completion"]} for row in rows_of(arithmetic / "demonstrations.jsonl")]
    write(arithmetic / "demonstrations.jsonl", shown)
    derived = 'derive: {last: {from: "{reference}", pattern: "(.*)"}}\nanswer: "{last}"'
    (arithmetic / "task.yaml").write_text(text.replace('answer: "{reference}"', derived))
    assert statuses(arithmetic)[name] == ("not checked", "references and answer both come from reference")


def test_references_that_are_spans_everywhere_else(tmp_path, colours):
    """A wrong reference of a task whose answers stand in their prompts, though no grader could tell."""
    folder = colours("squad.f1", "{}")
    rows = [{"words": f"{words} {number}", "references": [words]} for number in range(10) for words in WORDS]
    write(folder / "test.jsonl", rows)
    write(folder / "train.jsonl", [{"words": "x y", "references": ["x y"]}])
    assert statuses(folder)["spans"] == ("ok", "121 of 121 references stand in their prompts")
    change(folder / "test.jsonl", 7, references=["on Tuesday"])
    assert failed(folder) == {
        "spans": f"1 of 121: {folder}/test.jsonl:8: reference 'on Tuesday' does not stand in the prompt"
    }
    for number in range(20, 24):
        change(folder / "test.jsonl", number, references=["yes"])
    assert "spans" not in statuses(folder)


def test_a_copy_of_a_built_in_task_is_what_the_generator_writes(tmp_path):
    """No grader says of these two plants that they are wrong."""
    folder = Path(shutil.copytree(load_task("arithmetic").folder, tmp_path / "copy"))
    (check,) = check_generated(load_task(folder))
    assert (check.status, check.detail.partition(" ")[0]) == ("ok", "8300")
    change(folder / "test.jsonl", 123, sum=50, reference="A: 50")
    rows = rows_of(folder / "demonstrations.jsonl")
    write(folder / "demonstrations.jsonl", rows[:-1])
    (check,) = check_generated(load_task(folder))
    assert check.status == "failed"
    assert f"{folder}/test.jsonl:124: is not what generate.py writes" in check.detail
    assert f"{folder}/demonstrations.jsonl: row {len(rows)}, which generate.py writes, is missing" in check.detail
    assert check.detail.startswith("2 of 8300: ")


def test_a_generator_that_is_not_built_in_is_not_run(arithmetic, colours, tmp_path):
    for folder in (arithmetic, colours()):
        (folder / "generate.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        (check,) = check_generated(load_task(folder))
        assert check.status == "not checked"
        assert check.detail == f"{folder}/generate.py does not come with rlbench, so it is not run"
    assert not (tmp_path / "ran").exists()
