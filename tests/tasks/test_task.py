import dataclasses
import json

import pytest

from rlbench.errors import InputError
from rlbench.tasks import sources
from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.task import load_task

YAML = """\
name: toy
description: A toy
licence: CC0-1.0
source:
  kind: file
  splits: {train: train.jsonl, test: test.jsonl}
prompt: "Q: {question}"
references: ["{answer}"]
answer: "{answer}"
demonstrations: {file: demos.jsonl, completion: "{answer}"}
max_new_tokens: 8
reward: correctness.correct
graders: {pattern: {pattern: x}}
metrics: [correctness, bleu]
primary: correctness
"""


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "toy"
    root.mkdir()
    (root / "task.yaml").write_text(YAML)
    write(root / "train.jsonl", [{"question": f"train {n}", "answer": n} for n in range(3)])
    write(root / "test.jsonl", [{"question": f"test {n}", "answer": n} for n in range(2)])
    write(root / "demos.jsonl", [{"question": "demo", "answer": "A: 5"}])
    return root


def edit(folder, old, new):
    text = (folder / "task.yaml").read_text()
    assert old in text
    (folder / "task.yaml").write_text(text.replace(old, new))


def test_a_task_offers_what_its_yaml_says(folder):
    task = load_task(folder)
    assert (task.name, task.splits, task.reward) == ("toy", ("train", "test"), ("correctness", "correct"))
    assert (task.metrics, task.primary, task.max_new_tokens) == (("correctness", "bleu"), "correctness", 8)
    assert task.graders == {"pattern": {"pattern": "x"}}
    assert [s.sample_id for s in task.samples("train")] == ["train-00000", "train-00001", "train-00002"]
    sample = task.samples("test")[1]
    assert (sample.prompt, sample.references, sample.answer) == ("Q: test 1", ("1",), "1")
    assert task.demonstrations() == (("Q: demo", "A: 5"),)
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.name = "other"


def test_a_task_loads_by_a_path_written_as_text(folder):
    assert load_task(str(folder)).name == "toy"


def test_data_is_never_a_template(folder):
    write(folder / "test.jsonl", [{"question": "{answer} {{x}} {0.__class__} %s $a", "answer": "{question}"}])
    sample = load_task(folder).samples("test")[0]
    assert sample.prompt == "Q: {answer} {{x}} {0.__class__} %s $a"
    assert sample.references == ("{question}",)


def test_doubled_braces_in_a_template_are_braces(folder):
    edit(folder, "Q: {question}", "{{Q}}: {{{question}}}")
    assert load_task(folder).samples("test")[0].prompt == "{Q}: {test 0}"


def test_a_list_of_texts_gives_several_references(folder):
    write(folder / "test.jsonl", [{"question": "q", "answer": 1, "all": ["a", "b", 3]}])
    edit(folder, 'references: ["{answer}"]', 'references: ["{all}", "{answer}"]')
    assert load_task(folder).samples("test")[0].references == ("a", "b", "3", "1")


def test_nothing_is_read_that_nobody_asked_for(folder):
    (folder / "train.jsonl").write_text("broken")
    (folder / "demos.jsonl").unlink()
    task = load_task(folder)
    assert len(task.samples("test")) == 2
    assert list(task.provenance()) == ["test"]


def test_lines_are_split_at_newlines_only(folder):
    text = "a\u2028b\u0085c\r\nd\ttab"
    (folder / "test.jsonl").write_bytes(
        b"\xef\xbb\xbf" + json.dumps({"question": text, "answer": 1}, ensure_ascii=False).encode() + b"\r\n\n"
    )
    (sample,) = load_task(folder).samples("test")
    assert sample.prompt == f"Q: {text}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "x"}', "field 'answer' is missing (has: question)"),
        ('{"question": null, "answer": 1}', "field 'question' is NoneType; expected text or a number"),
        ('{"question": ["x"], "answer": 1}', "field 'question' is list"),
        ('{"question": true, "answer": 1}', "field 'question' is bool"),
        ('{"question": "\\ud800", "answer": 1}', "not valid Unicode"),
        ("[1]", "expected a JSON object, got list"),
        ('{"question": ', "not valid JSON"),
        ('{"question": "a", "question": "b", "answer": 1}', "a key is given twice"),
        ('{"question": NaN, "answer": 1}', "NaN is not a JSON number"),
        ('{"question": 1e999, "answer": 1}', "not valid JSON: 1e999 is too large a number"),
        ('{"question": 1' + "1" * 5000 + "}", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_malformed_rows_name_file_and_line(folder, line, message):
    path = folder / "test.jsonl"
    path.write_text('{"question": "fine", "answer": 1}\n' + line + "\n")
    with pytest.raises(InputError) as caught:
        load_task(folder).samples("test")
    assert f"{path}:2: " in str(caught.value)
    assert message in str(caught.value)


def test_bytes_that_are_not_utf8(folder):
    (folder / "test.jsonl").write_bytes(b'{"question": "\xff"}\n')
    with pytest.raises(InputError, match=r"test\.jsonl:1: is not UTF-8"):
        load_task(folder).samples("test")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_an_error(folder, content):
    (folder / "test.jsonl").write_text(content)
    with pytest.raises(InputError, match="the file is empty"):
        load_task(folder).samples("test")


def test_a_missing_file_is_an_error(folder):
    (folder / "test.jsonl").unlink()
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_task(folder).samples("test")


def test_a_missing_split_says_what_there_is():
    with pytest.raises(InputError) as caught:
        load_task("gsm8k").samples("valid")
    assert str(caught.value) == "task 'gsm8k': split 'valid' not found (has: test, train); choose one with --split"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_new_tokens: 8", "max_new_tokens: 0", "task.yaml:11: max_new_tokens"),
        ("max_new_tokens: 8", "max_tokens: 8", "task.yaml:11: unknown key 'max_tokens'"),
        ("primary: correctness", "primary: rouge1", "primary 'rouge1' is not among the metrics"),
        ("metrics: [correctness, bleu]", "metrics: [correctness, correctness]", "a metric is listed twice"),
        ("kind: file", "kind: web", "task.yaml:5: source.kind is 'web'; expected 'file' or 'public' or"),
        ("{train: train.jsonl, test: test.jsonl}", "{}", "task.yaml:6: source.splits"),
        ("Q: {question}", "Q: {question", "task.yaml:7: prompt: not a template"),
        ("Q: {question}", "Q: {question.}", "task.yaml:7: prompt: not a template"),
        ("Q: {question}", "Q", "task.yaml:7: prompt: names no field"),
        ("name: toy", "name: ../toy", "task.yaml:1: name"),
        ("correctness.correct", "correctness", "task.yaml:12: reward"),
        ("{file: demos.jsonl, ", "{file: demos.jsonl, split: train, ", "give exactly one"),
        ("{file: demos.jsonl, ", "{split: dev, ", "demonstrations name split 'dev'"),
    ],
)
def test_mistakes_in_task_yaml(folder, old, new, message):
    edit(folder, old, new)
    with pytest.raises(InputError) as caught:
        load_task(folder)
    assert message in str(caught.value)


def test_unknown_names():
    with pytest.raises(InputError, match=r"task 'arithmetics' does not exist .*did you mean 'arithmetic'"):
        load_task("arithmetics")
    with pytest.raises(InputError, match=r"task folder \./nowhere does not exist"):
        load_task("./nowhere")


def test_a_data_folder_that_is_none(tmp_path):
    with pytest.raises(InputError, match="is not a folder; check --data-dir and RLBENCH_DATA_DIR"):
        load_task("gsm8k", tmp_path / "nothing")


def test_no_demonstrations(folder):
    edit(folder, 'demonstrations: {file: demos.jsonl, completion: "{answer}"}\n', "")
    task = load_task(folder)
    assert not task.has_demonstrations
    with pytest.raises(InputError, match="task 'toy' has no demonstrations"):
        task.demonstrations()


def test_demonstrations_may_be_a_split(folder):
    edit(folder, "{file: demos.jsonl, ", "{split: train, ")
    assert load_task(folder).demonstrations() == (("Q: train 0", "0"), ("Q: train 1", "1"), ("Q: train 2", "2"))


@pytest.mark.parametrize(
    "relative", ["../secret.jsonl", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "link.jsonl", "a\0"]
)
def test_paths_never_leave_their_root(folder, relative):
    (folder.parent / "secret.jsonl").write_text('{"question": "x", "answer": 1}\n')
    (folder / "link.jsonl").symlink_to(folder.parent / "secret.jsonl")
    with pytest.raises(InputError):
        sources.file_rows(folder, relative)
    assert sources.file_rows(folder.parent, "secret.jsonl").rows


def test_fingerprint_follows_content_and_judging_only(folder):
    first = load_task(folder)
    parts = [first.fingerprint("test"), first.fingerprint("train"), first.fingerprint("demonstrations")]
    assert len({*parts, first.fingerprint()}) == 4
    assert first.fingerprint() == load_task(folder).fingerprint()
    assert first.fingerprint("test", "train") == first.fingerprint("train", "test")

    edit(folder, "A toy", "Another description")
    (folder / "train.jsonl").rename(folder / "moved.jsonl")
    edit(folder, "train.jsonl", "moved.jsonl")
    assert load_task(folder).fingerprint() == first.fingerprint()

    write(folder / "test.jsonl", [{"question": f"test {n}", "answer": n} for n in (1, 0)])
    changed = load_task(folder)
    assert changed.fingerprint("test") != first.fingerprint("test")
    assert changed.fingerprint("train") == first.fingerprint("train")

    edit(folder, "max_new_tokens: 8", "max_new_tokens: 9")
    assert load_task(folder).fingerprint("train") != first.fingerprint("train")


@pytest.mark.parametrize("place", ["train", "demonstrations"])
def test_leaks_are_found(folder, place):
    check_leaks(load_task(folder))
    file = {"train": "train.jsonl", "demonstrations": "demos.jsonl"}[place]
    write(folder / file, [{"question": "fine", "answer": 1}, {"question": "test  1 ", "answer": 7}])
    with pytest.raises(InputError) as caught:
        check_leaks(load_task(folder))
    first = f"(first: test-00001, {folder}/test.jsonl:2)"
    assert f"1 of 2 prompts of split 'test' also stand in {place} {first}" in str(caught.value)
