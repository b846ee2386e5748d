"""Local copies of public data: other formats, files beside, repeated prompts; and what is not pinned."""

import hashlib
import json
import multiprocessing
import re

import pytest

from rlbench.errors import InputError
from rlbench.tasks import hub, revisions
from rlbench.tasks.task import load_task

HEAD = (
    "name: pub\ndescription: Public\nlicence: MIT\ncontamination: unknown\nsource:\n  kind: public\n  data_dir: pub\n"
)
TAIL = "max_new_tokens: 8\nreward: length.words\nmetrics: [mean_length]\nprimary: mean_length\n"
HOME = "  hub: null\n  homepage: https://example.org/data\n"
HUB = "  hub: {id: org/name, config: big, fields: {q: question.text}}\n"


@pytest.fixture
def make(tmp_path):
    """`make(splits, origin, prompt, files)`: a public task with a local copy in the folder `pub` of a data folder."""

    def make(splits, origin=HOME, prompt="{text}", files=None):
        (tmp_path / "task.yaml").write_text(f"{HEAD}  splits: {splits}\n{origin}prompt: '{prompt}'\n{TAIL}")
        (tmp_path / "pub").mkdir(exist_ok=True)
        for name, content in (files or {}).items():
            (tmp_path / "pub" / name).write_bytes(content.encode())
        return load_task(tmp_path, tmp_path)

    return make


def prompts(task, split="test"):
    return [sample.prompt for sample in task.samples(split)]


def test_lines_with_files_beside(make, tmp_path):
    files = {"src": "eins\n\nzwei\r\n", "ref": "one\nx\ntwo\n"}
    spec = "{test: {path: src, format: lines, beside: {english: {path: ref}}, rows: [0, 2]}}"
    task = make(spec, prompt="{text}={english}", files=files)
    assert prompts(task) == ["eins=one", "zwei=two"]
    assert task.where("test-00001") == f"{tmp_path}/pub/src:3"
    assert hashlib.sha256(files["ref"].encode()).hexdigest() in task.provenance()["test"]
    with pytest.raises(InputError, match=r"/short: has 2 lines, but .*/src beside it has 3"):
        make(spec.replace("path: ref", "path: short"), files={"short": "one\ntwo\n"}).samples("test")


def test_a_json_array_knows_its_lines(make, tmp_path):
    task = make(
        "{test: {path: all.json, format: json}}", files={"all.json": '[\n {"text": "a"},\n\n {"text":\n "b"}]\n'}
    )
    assert prompts(task) == ["a", "b"]
    assert task.where("test-00001") == f"{tmp_path}/pub/all.json:4"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[\n{"text": "a"}\n{"text": "b"}]', r"all\.json:2: not valid JSON: after the item"),
        ('[{"text": "a"},\n]', r"all\.json:2: not valid JSON"),
        ('[{"text": "a"},\n 5]', r"all\.json:2: expected a JSON object, got int"),
        ('[{"text": "a"}', r"all\.json:1: not valid JSON: after the item"),
        ('[{"text": "a"}] x', r"all\.json: not valid JSON: something follows"),
        ('{"text": "a"}', r"all\.json: expected a JSON array of objects"),
        ("[ ]", r"all\.json:1: not valid JSON|the file is empty"),
        ("", r"all\.json: the file is empty; expected a JSON array"),
        ('[{"text": 1, "text": 2}]', r"all\.json:1: not valid JSON: a key is given twice"),
    ],
)
def test_malformed_arrays(make, content, message):
    with pytest.raises(InputError, match=message):
        make("{test: {path: all.json, format: json}}", files={"all.json": content}).samples("test")


def test_prompts_of_other_splits_are_dropped(make, tmp_path):
    spec = "{train: {path: a, format: lines, without: [test]}, test: {path: b, format: lines}}"
    task = make(spec, files={"a": "one\nTwo \nthree\n", "b": "two\nfour\n"})
    assert prompts(task, "train") == ["one", "three"]
    assert prompts(task, "test") == ["two", "four"]
    assert task.where("train-00001") == f"{tmp_path}/pub/a:3"
    with pytest.raises(InputError, match="all prompts of split 'train' also stand in test"):
        make(spec.replace("path: a", "path: c"), files={"c": "two\n"}).samples("train")
    for wrong in ("[dev]", "[train]"):
        with pytest.raises(InputError, match="which is no other split"):
            make(spec.replace("[test]", wrong))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{rows: [0, 1]}", "rows, sha256 and beside belong to a file"),
        ("{path: a, hub_rows: [2, 1]}", r"hub_rows \[2, 1\] are none"),
        ("{path: a, beside: {b: {path: b}}}", "beside belongs to files with `format: lines`"),
        ("{path: a, format: lines, beside: {text: {path: b}}}", "the lines of `path` are the field 'text'"),
        ("{path: a, format: csv}", "source.splits.test.format"),
    ],
)
def test_splits_that_cannot_be(make, spec, message):
    with pytest.raises(InputError, match=r"task\.yaml:8: ") as caught:
        make(f"{{test: {spec}}}")
    assert re.search(message, str(caught.value))


def test_data_on_no_hub_says_where_it_is(make, tmp_path):
    make("{test: {path: a, format: lines}}", files={"a": "x\n"})
    with pytest.raises(InputError, match=r"on no hub; get it from https://example\.org/data into a folder 'pub'"):
        load_task(tmp_path).samples("test")
    with pytest.raises(InputError, match="needs a homepage"):
        make("{test: {path: a}}", origin="  hub: null\n")


def test_public_data_says_what_is_known_of_contamination(make, tmp_path):
    make("{test: {path: a}}")
    text = (tmp_path / "task.yaml").read_text().replace("contamination: unknown\n", "")
    (tmp_path / "task.yaml").write_text(text)
    with pytest.raises(InputError, match="key 'contamination' is missing"):
        load_task(tmp_path)


def test_a_file_that_is_not_pinned_is_recorded(make, tmp_path):
    spec = "{test: {path: a, format: lines}}"
    assert prompts(make(spec, files={"a": "x\n"})) == ["x"]
    assert prompts(make(spec)) == ["x"]
    with pytest.raises(InputError) as caught:
        make(spec, files={"a": "y\n"}).samples("test")
    records = revisions.cache_folder() / "data_revisions.json"
    recorded, found = (hashlib.sha256(text).hexdigest() for text in (b"x\n", b"y\n"))
    assert f"recorded sha256 {recorded}" in str(caught.value)
    assert f"found {found}" in str(caught.value)
    assert f"delete the key '{tmp_path}/pub/a' from {records}" in str(caught.value)
    records.unlink()
    assert prompts(make(spec)) == ["y"]


def test_a_broken_copy_is_not_recorded(make, tmp_path):
    """What was never read is nothing to hold a mended file against."""
    spec = "{test: {path: a, rows: [0, 2]}}"
    for broken in ('{"text": "x"}\n{"te', '{"text": "x"}\n'):
        with pytest.raises(InputError, match=r"not valid JSON|has only 1"):
            make(spec, files={"a": broken}).samples("test")
    assert prompts(make(spec, files={"a": '{"text": "x"}\n{"text": "y"}\n'})) == ["x", "y"]
    lines = "{test: {path: b, format: lines, beside: {other: {path: c}}}}"
    with pytest.raises(InputError, match="has 1 lines, but"):
        make(lines, files={"b": "x\ny\n", "c": "z\n"}).samples("test")
    assert prompts(make(lines, prompt="{other}", files={"c": "z\nz\n"})) == ["z", "z"]


def test_broken_content_of_the_hub_is_not_recorded(monkeypatch):
    from rlbench.tasks.definition import HubSource

    source = HubSource(id="org/name", fields={"q": "question"})
    content = [{"text": "x"}]
    monkeypatch.setattr(hub, "_newest", lambda dataset: "commit")
    monkeypatch.setattr(hub, "_load", lambda *given, **choice: content)
    for load in (hub.hub_rows, lambda *given: hub.folder_rows("pub", revisions.cache_folder(), *given[1:])):
        content[:] = [{"text": "x"}]
        with pytest.raises(InputError, match="field 'question' is missing"):
            load("pub", source, "test", (0, 2))
        content[:] = [{"question": "x"}]
        with pytest.raises(InputError, match="has only 1"):
            load("pub", source, "test", (0, 2))
        content.append({"question": "y"})
        assert [row.fields["q"] for row in load("pub", source, "test", (0, 2)).rows] == ["x", "y"]


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    loaded = pytest.importorskip("datasets")
    monkeypatch.setattr(loaded.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return loaded


@pytest.mark.parametrize("form", ["jsonl", "parquet", "in a folder of the configuration", "with a card"])
def test_a_folder_in_the_hubs_layout(make, tmp_path, datasets, form):
    import pyarrow
    from pyarrow import parquet

    rows = [{"question": {"text": f"question {n}"}} for n in range(4)]
    folder = tmp_path / "pub"
    task = make("{test: {hub_split: validation, hub_rows: [1, 3]}}", origin=HUB, prompt="{q}")
    if form == "jsonl":
        (folder / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        inner = folder / {"parquet": "data"}.get(form, "big")
        inner.mkdir()
        parquet.write_table(pyarrow.Table.from_pylist(rows), inner / "validation-00000-of-00001.parquet")
    if form == "with a card":
        data_files = "- split: validation\n    path: big/validation-*\n"
        (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: big\n  data_files:\n  {data_files}---\n")
    assert prompts(task) == ["question 1", "question 2"]
    assert task.where("test-00000") == f"{folder} (big, validation), row 1"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\[1:3\]", task.provenance()["test"])
    with pytest.raises(InputError, match=rf"hub_rows \[1, 9\] are asked for, but {folder} has only 4"):
        make("{test: {hub_split: validation, hub_rows: [1, 9]}}", origin=HUB, prompt="{q}").samples("test")


def test_a_folder_that_changes_is_refused(make, tmp_path, datasets):
    file = tmp_path / "pub" / "test.jsonl"
    origin = "  hub: {id: org/name}\n"
    make("{test: {}}", origin)
    file.write_text('{"text": "x", "n": 1}\n')
    assert prompts(make("{test: {}}", origin)) == ["x"]
    file.write_text('{"n": 1, "text": "x"}\n\n')
    assert prompts(make("{test: {}}", origin)) == ["x"]
    file.write_text('{"text": "x", "n": 2}\n')
    with pytest.raises(InputError, match="is not what it was when it was first loaded"):
        make("{test: {}}", origin).samples("test")
    with pytest.raises(InputError, match=r"cannot load split 'dev' from .*/pub .* expected a copy of 'org/name'"):
        make("{dev: {}}", origin).samples("dev")


def test_the_hubs_commit_is_recorded_and_used_again(monkeypatch, tmp_path):
    from rlbench.tasks.definition import HubSource

    source, asked, content = HubSource(id="org/name"), [], [{"text": "x"}]
    monkeypatch.setattr(hub, "_newest", lambda dataset: f"commit {len(asked)}")

    def load(task, path, hub_source, split, **choice):
        asked.append(choice["revision"])
        return content

    monkeypatch.setattr(hub, "_load", load)
    first = hub.hub_rows("pub", source, "test")
    assert hub.hub_rows("pub", source, "test") == first
    assert asked == ["commit 0", "commit 0"]
    assert first.provenance.startswith("hub:org/name@commit 0 sha256:")
    content[0] = {"text": "y"}
    with pytest.raises(InputError, match=r"org/name \(default, test\): is not what it was .*revision commit 0"):
        hub.hub_rows("pub", source, "test")
    pinned = HubSource(id="org/name", revision="f" * 40)
    assert hub.hub_rows("pub", pinned, "test").rows[0].fields == {"text": "y"}


def _record(number):
    revisions.check_recorded(f"place {number}", f"sha {number}")


def test_processes_may_record_at_the_same_time():
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(_record, range(24))
    folder = revisions.cache_folder()
    assert set(json.loads((folder / "data_revisions.json").read_text())) == {f"place {n}" for n in range(24)}
    assert {path.name for path in folder.iterdir()} == {"data_revisions.json", "data_revisions.lock"}


def test_records_that_cannot_be_read(tmp_path):
    folder = revisions.cache_folder()
    folder.mkdir(parents=True)
    for content in ("broken", "[]", '{"a": 1}'):
        (folder / "data_revisions.json").write_text(content)
        with pytest.raises(InputError, match=r"data_revisions\.json: .*mend it, or delete it"):
            revisions.check_recorded("place", "sha")


def test_where_records_are_kept(monkeypatch, tmp_path, records):
    assert revisions.cache_folder() == records
    monkeypatch.delenv("RLBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert revisions.cache_folder() == tmp_path / "xdg" / "rlbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert revisions.cache_folder() == tmp_path / "home" / ".cache" / "rlbench"


def test_content_does_not_depend_on_the_order_of_keys():
    assert revisions.content_hash([{"a": 1, "b": 2}]) == revisions.content_hash([{"b": 2, "a": 1}])
    assert revisions.content_hash([{"a": 1}, {"b": 2}]) != revisions.content_hash([{"b": 2}, {"a": 1}])
