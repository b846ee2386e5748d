import pytest


@pytest.fixture(autouse=True)
def no_data_dir_from_outside(monkeypatch):
    """Tests name their data folder themselves, whatever the environment says."""
    monkeypatch.delenv("RLBENCH_DATA_DIR", raising=False)


@pytest.fixture(autouse=True)
def records_of_this_test(monkeypatch, tmp_path):
    """What is recorded of public data stays in the test's own folder."""
    monkeypatch.setenv("RLBENCH_CACHE", str(tmp_path / "rlbench-cache"))
