import hashlib
import json
import sys

import pytest

from rlbench.errors import InputError
from rlbench.tasks.definition import HubSource
from rlbench.tasks.hub import hub_rows
from rlbench.tasks.task import load_task

YAML = """\
name: pub
description: A public data set
licence: MIT
contamination: unknown
source:
  kind: public
  data_dir: sets/pub
  splits:
    test: {{path: test.jsonl, sha256: "{sha256}"}}
  hub: {{id: {hub}, config: null}}
prompt: "{{question}}"
max_new_tokens: 8
reward: length.words
metrics: [mean_length]
primary: mean_length
"""
ROWS = [{"question": f"question {n}"} for n in range(12)]
TEXT = "".join(json.dumps(row) + "\n" for row in ROWS)
SHA256 = hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.fixture
def make(tmp_path):
    def make(sha256=SHA256, hub="org/name"):
        folder = tmp_path / "task"
        folder.mkdir(exist_ok=True)
        (folder / "task.yaml").write_text(YAML.format(sha256=sha256, hub=hub))
        copy = tmp_path / "data" / "sets" / "pub"
        copy.mkdir(parents=True, exist_ok=True)
        (copy / "test.jsonl").write_text(TEXT)
        return folder, tmp_path / "data"

    return make


def test_a_local_copy_that_is_pinned(make):
    task = load_task(*make())
    assert [sample.prompt for sample in task.samples("test")] == [row["question"] for row in ROWS]


def test_the_environment_names_the_data_folder(make, monkeypatch):
    folder, data_dir = make()
    monkeypatch.setenv("RLBENCH_DATA_DIR", str(data_dir))
    assert len(load_task(folder).samples("test")) == 12


def test_a_local_copy_that_differs_is_refused(make):
    with pytest.raises(InputError) as caught:
        load_task(*make(sha256="0" * 64)).samples("test")
    assert f"expected sha256 {'0' * 64}, got {SHA256}; get the original again" in str(caught.value)


def test_a_local_copy_that_is_missing(make):
    folder, data_dir = make()
    (data_dir / "sets" / "pub" / "test.jsonl").rename(data_dir / "elsewhere")
    with pytest.raises(InputError, match=r"test\.jsonl: cannot be read"):
        load_task(folder, data_dir).samples("test")
    with pytest.raises(InputError, match="is not a folder; expected a copy of 'org/name' there"):
        load_task(folder, folder).samples("test")


def test_a_link_out_of_the_data_folder_is_refused(make, tmp_path):
    folder, data_dir = make()
    file = data_dir / "sets" / "pub" / "test.jsonl"
    file.rename(tmp_path / "outside.jsonl")
    file.symlink_to(tmp_path / "outside.jsonl")
    with pytest.raises(InputError, match="leads outside"):
        load_task(folder, data_dir).samples("test")


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    """A folder in the layout that `datasets` also loads from the hub, and a private cache."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    root = tmp_path / "hub"
    root.mkdir()
    (root / "test.jsonl").write_text(TEXT)
    return root


def test_the_hub_and_a_local_copy_give_the_same_task(make, hub_folder):
    folder, data_dir = make(hub=str(hub_folder))
    local, hub = load_task(folder, data_dir), load_task(folder)
    assert hub.samples("test") == local.samples("test")
    assert len(hub.samples("test")) == 12
    assert hub.fingerprint() == local.fingerprint()
    assert hub.provenance()["test"].startswith("hub:")


def test_a_split_that_the_hub_does_not_have(hub_folder):
    with pytest.raises(InputError) as caught:
        hub_rows("pub", HubSource(id=str(hub_folder)), "valid")
    assert "task 'pub': cannot load split 'valid'" in str(caught.value)
    assert "--data-dir or RLBENCH_DATA_DIR" in str(caught.value)


def test_no_network(hub_folder, monkeypatch):
    def offline(*args, **kwargs):
        assert kwargs == {"name": "main", "split": "test"}
        assert args == ("openai/gsm8k",)
        raise ConnectionError("Couldn't reach 'openai/gsm8k' on the Hub\nand more lines")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", offline)
    monkeypatch.setattr("datasets.load_dataset", offline)
    with pytest.raises(InputError) as caught:
        load_task("gsm8k").samples("test")
    assert "cannot load split 'test' of 'openai/gsm8k' from the hub (ConnectionError: Couldn't reach" in str(
        caught.value
    )
    assert "--data-dir or RLBENCH_DATA_DIR" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_extra_is_named_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'rlbench\[hub\]', or .*--data-dir or RLBENCH_DATA_DIR"):
        hub_rows("pub", HubSource(id="org/name", revision="0" * 40), "test")
