"""A disk that fills up under a run: a message, everything kept, and the same command goes on once there is space."""

import os
import subprocess

import pytest

pytestmark = pytest.mark.slow
SIZE = 96  # MiB; `run` wants 64 free at the start


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(disk):
    """Take every byte that is left."""
    size = 1 << 20
    with (disk / "filler").open("wb", buffering=0) as file:
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(disk, short, results, start, cli, contents, wait_for):
    file, reference = short
    run, expected = disk / "run", results(reference)
    for stage in ("train", "sample"):
        process = start("run", file, "--out", run)
        assert wait_for(process, run, stage)
        fill(disk)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 2, err
        assert "Traceback" not in out + err
        (message,) = [line for line in err.splitlines() if line.startswith("rlbench: ")]
        assert message.count("no space left on the device") == 1
        assert "Everything finished so far is kept; free some space and run the same command again" in message
        verified = cli("verify", run)
        assert verified.code == 0, "what was sealed is intact"
        partly = results(run)
        assert partly
        assert partly.items() <= expected.items()

        before = contents(run)
        refused = cli("run", file, "--out", run)
        assert refused.code == 2
        assert refused.err.startswith(f"rlbench: {run}: only 0 MiB are free, expected at least 64 MiB; free some space")
        assert contents(run) == before
        (disk / "filler").unlink()
    process = start("run", file, "--out", run)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert results(run) == expected


def test_a_full_disk_stops_score_too(disk, digits, cli, tmp_path):
    rows = "".join(f'{{"completion": "A: {n}"}}\n' for n in range(24))
    (tmp_path / "c.jsonl").write_text(rows)
    fill(disk)
    result = cli("score", tmp_path / "c.jsonl", "--task", digits, "--out", disk / "scores")
    assert result.code == 2
    assert "no space left on the device" in result.err
    assert "Traceback" not in result.text
    (disk / "filler").unlink()
    assert cli("score", tmp_path / "c.jsonl", "--task", digits, "--out", disk / "scores").code == 0
    assert cli("verify", disk / "scores").code == 0
