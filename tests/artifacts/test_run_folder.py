"""The run folder: finds results, holds unfinished work, quarantines."""

import pytest

from rlbench.artifacts.call import Call, Circumstances
from rlbench.artifacts.identity import Identity
from rlbench.artifacts.locking import lock
from rlbench.artifacts.run_folder import LOCK, RunFolder, environment, open_run
from rlbench.errors import CorruptArtifact, InputError

BASE = Identity("prepare", "base", {}, {"x": 1}, {"stage": 1})
TRAIN = Identity("train", "t.grpo.s0", {"sft": BASE}, {"seed": 0}, {"stage": 1})


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def make(folder, identity):
    call = Call(identity, folder, Circumstances())
    call.out.mkdir(parents=True)
    (call.out / "rows.jsonl").write_text("{}\n")
    return folder.finish(identity, {"seconds": 1.5})


def test_a_finished_result_is_sealed_and_its_unfinished_work_is_gone(folder):
    assert folder.state(BASE.place) == "missing"
    target = make(folder, BASE)
    assert target == folder.path(BASE)
    assert folder.is_sealed(BASE)
    assert folder.state(BASE.place) == "done"
    assert not folder.partial(BASE).exists()
    assert folder.sealed_folders() == [target]


def test_the_manifest_says_what_it_was_made_from(folder):
    make(folder, BASE)
    make(folder, TRAIN)
    manifest = folder.check(TRAIN.place)
    assert manifest["inputs"] == {"sft": {"folder": BASE.place.folder.as_posix(), "fingerprint": BASE.fingerprint}}
    assert manifest["config"] == {"seed": 0}
    assert manifest["versions"] == {"stage": 1}
    assert {"python", "torch", "rlbench"} <= manifest["environment"].keys()


def test_nothing_about_a_person_or_place_is_recorded(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    assert "hunter2" not in str(environment())
    assert "/" not in str(environment())


def test_another_results_folder_under_this_name_is_not_this_result(folder):
    make(folder, BASE)
    other = Identity("prepare", "base", {}, {"x": 2}, {"stage": 1})
    folder.path(BASE).rename(folder.path(other))
    with pytest.raises(CorruptArtifact, match="another fingerprint"):
        folder.check(other.place)


def test_quarantine_keeps_every_damaged_folder(folder):
    for _ in range(2):
        make(folder, BASE)
        folder.quarantine(folder.path(BASE))
    names = sorted(path.name for path in (folder.root / "quarantine").iterdir())
    assert names == [f"prepare-{BASE.place.folder.name}-1", f"prepare-{BASE.place.folder.name}-2"]
    assert not folder.is_sealed(BASE)


def test_states_of_unfinished_work(folder):
    call = Call(BASE, folder, Circumstances())
    call.work.mkdir(parents=True)
    assert folder.state(BASE.place) == "unfinished"
    with lock(call.work / LOCK):
        assert folder.state(BASE.place) == "running"
    call.note_failure("it broke")
    assert folder.state(BASE.place) == "failed"
    call.note_failure("later words do not hide the first")
    assert (call.work / "error.txt").read_text() == "it broke\n"


def test_what_is_no_run_is_not_opened(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError, match=r"expected the folder of a run \(with experiment\.yaml"):
            open_run(path)
