"""The `tests:` of a task.yaml: what becomes of it in a sample, and which mistakes are named with file and line."""

import hashlib
import json
from pathlib import Path

import pytest

from rlbench.errors import InputError
from rlbench.records import UnitTests
from rlbench.tasks.task import load_task

YAML = """\
name: toy
description: A toy
licence: CC0-1.0
source: {kind: file, splits: {test: test.jsonl}}
prompt: "{text}"
references: ["{code}"]
tests: TESTS
max_new_tokens: 8
reward: unit_tests.passed
metrics: [mean_length]
primary: mean_length
"""
ROW = {
    "text": "Double x.",
    "code": "def double(x):\n    return 2 * x",
    "name": "double",
    "checks": ["assert double(1) == 2", "assert double(2) == 4"],
    "block": "def check(f):\n    assert f(1) == 2",
    "before": "import math",
    "ins": ["1\n", "2\n"],
    "outs": ["2\n", "4\n"],
    "none": [],
    "blank": "",
}


@pytest.fixture
def load(tmp_path):
    def load(tests, row=ROW):
        (tmp_path / "task.yaml").write_text(YAML.replace("TESTS", tests))
        (tmp_path / "test.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps(row) + "\n")
        return load_task(tmp_path)

    return load


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ('{code: "{checks}"}', UnitTests("assert double(1) == 2\nassert double(2) == 4")),
        (
            '{code: "{before}\\n{checks:lines}", entry_point: double}',
            UnitTests("import math\nassert double(1) == 2\nassert double(2) == 4", ("double",)),
        ),
        (
            '{code: "{block}\\ncheck({name})", entry_point: "{name}", setup: "{before}", starter: "# {text}"}',
            UnitTests(ROW["block"] + "\ncheck(double)", ("double",), "import math", (), "# Double x."),
        ),
        ('{inputs: "{ins}", outputs: "{outs}"}', UnitTests(cases=(("1\n", "2\n"), ("2\n", "4\n")))),
        (
            '{inputs: "{name}", outputs: "{blank}", starter: "{before}"}',
            UnitTests(cases=(("double", ""),), starter="import math"),
        ),
    ],
)
def test_templates_become_unit_tests(load, tests, expected):
    assert load(tests).samples("test")[0].tests == expected


def test_a_task_without_tests_has_none(load, tmp_path):
    load("{code: x}")
    (tmp_path / "task.yaml").write_text(YAML.replace("tests: TESTS\n", ""))
    assert load_task(tmp_path).samples("test")[0].tests is None


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        ("{}", "task.yaml:7: tests: give either code, or inputs and outputs"),
        ('{code: "{checks}", inputs: "{ins}", outputs: "{outs}"}', "tests: give either code, or inputs and outputs"),
        ('{inputs: "{ins}"}', "task.yaml:7: tests: inputs and outputs belong together: give both"),
        ('{inputs: "{ins}", outputs: "{outs}", setup: x}', "entry_point and setup belong to tests in code"),
        ('{inputs: "{ins}", outputs: "{outs}", entry_point: x}', "entry_point and setup belong to tests in code"),
        ('{code: ""}', "task.yaml:7: tests.code"),
        ('{code: "{checks"}', "task.yaml:7: tests.code: not a template"),
        ('{code: "{checks:line}"}', "task.yaml:7: tests.code: not a template"),
        ('{code: "{checks}", entry: x}', "task.yaml:7: unknown key 'tests.entry'"),
    ],
)
def test_mistakes_in_the_block(load, tests, message):
    with pytest.raises(InputError) as caught:
        load(tests)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("tests", "change", "message"),
    [
        (
            '{code: "{checks}"}',
            {"checks": "assert ("},
            "tests.code is not valid Python: '(' was never closed, its line 1",
        ),
        (
            '{code: "{checks}"}',
            {"checks": ["x = 1", " y"]},
            "tests.code is not valid Python: unexpected indent, its line 2",
        ),
        ('{code: "{checks}"}', {"checks": []}, "the tests are empty; expected Python code in tests.code"),
        ('{code: "{checks}"}', {"checks": "a\0"}, "tests.code is not valid Python"),
        ('{code: "{checks}"}', {"checks": "-" * 200_000 + "1"}, "tests.code is not valid Python"),
        ('{code: "{checks}"}', {"checks": None}, "field 'checks' is NoneType; expected text or a number"),
        ('{code: "{checks}"}', {"checks": [["x"]]}, "field 'checks' is list; expected text or a number"),
        ('{code: "#\\n{checks:lines}"}', {"checks": "x"}, "field 'checks' is str; expected a list of texts"),
        ('{code: x, setup: "{before}"}', {"before": "import"}, "tests.setup is not valid Python"),
        ('{code: x, entry_point: "{name}"}', {"name": "a.b"}, "tests.entry_point is 'a.b'; expected the name"),
        ('{code: x, entry_point: "{name}"}', {"name": ""}, "tests.entry_point is ''; expected the name"),
        ('{code: "{name}{blank}"}', {"blank": "("}, "tests.code is not valid Python: '(' was never closed"),
        ('{code: "{missing}"}', {}, None),
        (
            '{inputs: "{ins}", outputs: "{outs}"}',
            {"outs": ["1"]},
            "2 inputs but 1 outputs; expected one output per input",
        ),
        ('{inputs: "{ins}", outputs: "{outs}"}', {"ins": [], "outs": []}, "there are no inputs; expected at least one"),
    ],
)
def test_mistakes_in_a_row_name_file_and_line(load, tmp_path, tests, change, message):
    line, expected = (1, "field 'missing' is missing (has: text, ") if message is None else (2, message)
    with pytest.raises(InputError) as caught:
        load(tests, ROW | change).samples("test")
    assert f"{tmp_path / 'test.jsonl'}:{line}: {expected}" in str(caught.value)


def test_data_stays_data_in_tests(load):
    row = ROW | {"checks": ["assert double({1: '{code}'}) == 2"], "before": "'{{x}}'"}
    sample = load('{code: "{checks}", setup: "{before}"}', row).samples("test")[1]
    assert sample.tests == UnitTests("assert double({1: '{code}'}) == 2", setup="'{{x}}'")


def test_invalid_escapes_in_tests_do_not_warn(load, recwarn):
    load('{code: "{checks}"}', ROW | {"checks": ["assert '\\d'"]}).samples("test")
    assert not recwarn.list


def test_the_fingerprint_follows_the_tests(load):
    first = load('{code: "{checks}"}').fingerprint("test")
    assert load('{code: "{checks:lines}"}').fingerprint("test") == first
    others = [
        load('{code: "{block}"}').fingerprint("test"),
        load('{code: "{checks}", entry_point: double}').fingerprint("test"),
        load('{code: "{checks}", setup: x}').fingerprint("test"),
        load('{code: "{checks}", starter: x}').fingerprint("test"),
    ]
    assert len({first, *others}) == 5


def test_tasks_without_tests_keep_their_fingerprints():
    fingerprints = {name: load_task(name).fingerprint() for name in ("arithmetic", "stories")}
    assert fingerprints == {
        "arithmetic": "15c8279fd6ad693b46723a061009b27ed2d305cbf5172d0d1869d296c8ec949e",
        "stories": "1e92f26d8480c6f6b0c5972faaa64ea2e8c62d0f353511886ffe60fbfc5adf99",
    }


def test_a_list_of_texts_stands_in_a_prompt_one_per_line(load, tmp_path):
    load("{code: x}")
    (tmp_path / "task.yaml").write_text(
        YAML.replace("TESTS", "{code: x}").replace('"{text}"', '"{text}\\n{checks:lines}\\n"')
    )
    prompt = load_task(tmp_path).samples("test")[0].prompt
    assert prompt == "Double x.\nassert double(1) == 2\nassert double(2) == 4\n"


PUBLIC = """\
name: pub
description: A public data set
licence: MIT
source:
  kind: public
  data_dir: pub
  splits:
    test: {{path: all.jsonl, sha256: "{sha256}", rows: {rows}}}
    dev: {{path: all.jsonl, sha256: "{sha256}", rows: [0, 1], hub_split: validation}}
  hub: {{id: org/name}}
prompt: "{{q}}"
max_new_tokens: 8
reward: length.words
metrics: [mean_length]
primary: mean_length
contamination: unknown
"""


@pytest.fixture
def public(tmp_path):
    def public(rows):
        (tmp_path / "pub").mkdir(exist_ok=True)
        content = "".join(json.dumps({"q": f"q{n}"}) + "\n" for n in range(5))
        (tmp_path / "pub" / "all.jsonl").write_text(content)
        digest = hashlib.sha256(content.encode()).hexdigest()
        (tmp_path / "task.yaml").write_text(PUBLIC.format(sha256=digest, rows=rows))
        return load_task(Path(tmp_path), tmp_path)

    return public


def test_a_split_may_be_some_rows_of_a_file(public):
    task = public("[1, 4]")
    assert [sample.prompt for sample in task.samples("test")] == ["q1", "q2", "q3"]
    assert [sample.sample_id for sample in task.samples("test")] == ["test-00000", "test-00001", "test-00002"]
    assert [sample.prompt for sample in task.samples("dev")] == ["q0"]
    assert task.provenance()["test"].endswith("[1:4]")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("[1, 6]", r"task 'pub': rows \[1, 6\] are asked for, but .*all\.jsonl has only 5"),
        ("[3, 3]", r"task\.yaml:8: source\.splits\.test: rows \[3, 3\] are none; expected \[first, end\]"),
        ("[-1, 3]", r"task\.yaml:8: source\.splits\.test\.rows\.0"),
        ("[1]", r"task\.yaml:8: key 'source\.splits\.test\.rows\.1' is missing"),
    ],
)
def test_impossible_rows(public, rows, message):
    with pytest.raises(InputError, match=message):
        public(rows).samples("test")


def test_the_hub_may_call_a_split_otherwise(public, monkeypatch, tmp_path):
    public("[1, 4]")
    asked = []

    def rows(task, hub, split, cut):
        asked.append(split)
        raise InputError("offline")

    monkeypatch.setattr("rlbench.tasks.sources.hub_rows", rows)
    for split in ("dev", "test"):
        with pytest.raises(InputError, match="offline"):
            load_task(tmp_path).samples(split)
    assert asked == ["validation", "test"]
