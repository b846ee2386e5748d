import pytest


@pytest.fixture(autouse=True)
def no_data_dir_from_outside(monkeypatch):
    """Tests name their data folder themselves, whatever the environment says."""
    monkeypatch.delenv("RLBENCH_DATA_DIR", raising=False)
