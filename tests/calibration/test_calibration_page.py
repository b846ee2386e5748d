"""`rlbench calibrate`: the page, its numbers and the exit code."""

from dataclasses import replace
from pathlib import Path

import pytest

from rlbench.calibration import grid
from rlbench.calibration.cells import Band, Cell
from rlbench.calibration.methods import ClosedForm
from rlbench.calibration.page import figures, render
from rlbench.calibration.real import FalseAlarms, RealAA
from rlbench.calibration.results import read_results
from rlbench.calibration.simulate import measure
from rlbench.calibration.trials import Intervals
from rlbench.calibration.worlds import Continuous
from rlbench.cli.calibrate import calibrate
from rlbench.errors import InputError

DOCS = Path(__file__).parents[2] / "docs"


def cell(seeds, band=Band(0.0, 1.0), sds=(0.2, 1.0, 1.0), section="recipe"):  # noqa: B008
    design = {"world": "balanced", "prompts": "20", "samples": "", "difference": "0"}
    trial = Intervals(Continuous(seeds, 20, *sds), "recipe", ClosedForm("recipe"))
    return Cell(section, "normal", design, seeds, trial, {"missed": band, "rejected": band})


def real(rate=0.05):
    row = FalseAlarms("sums", "correctness", True, "recipe", True, 5, 1000, int(1000 * rate), 0.03, 0.07)
    lost = replace(row, metric="<b>|odd", primary=False, splits=0, alarms=0, low=None, high=None, reason="no scores")
    return RealAA("aa", "grpo", 40, {"sums": 500}, (row, lost))


@pytest.fixture
def two_cells(monkeypatch):
    cells = [cell(3), cell(5)]
    monkeypatch.setattr(grid, "grid", lambda: cells)
    monkeypatch.setattr(grid, "short_grid", lambda: cells[:1])


def test_neither_workers_nor_other_cells_change_what_a_cell_finds():
    cells = [cell(3), cell(5)]
    together = measure(cells, 200, workers=2)
    assert together == [measure(cells[:1], 200, workers=1)[0], measure(cells[1:], 200, workers=1)[0]]
    assert together[0].counts != together[1].counts


def test_a_published_cell_outside_of_its_band_is_measured_anew_on_other_numbers(monkeypatch):
    monkeypatch.setattr("rlbench.calibration.simulate.PUBLISHED", 200)
    inside, outside = measure([cell(3), cell(3, Band(0.5, 0.6))], 200, workers=1)
    assert (inside.runs, outside.runs) == (200, 2_000)
    assert outside.counts["missed"] != 10 * inside.counts["missed"]
    assert measure([cell(3, Band(0.5, 0.6))], 199, workers=1)[0].runs == 199


def test_the_page_and_its_numbers_are_written_and_read_again(two_cells, tmp_path, capsys):
    assert calibrate(200, False, 1, tmp_path, None, None) == 0
    results = read_results(tmp_path / "calibration" / "calibration.json")
    assert results.runs == 200
    assert [each.seeds for each in results.cells] == [3, 5]
    page = (tmp_path / "calibration.md").read_text()
    assert "2 designs with a band, 200 simulated experiments each: all lie inside" in page
    for each in results.cells:
        assert f"{each.rate('rejected'):.3f}".removeprefix("0") in page
    assert (tmp_path / "calibration" / "recipe.svg").read_text().startswith("<?xml")
    assert "2 designs, 0 outside" in capsys.readouterr().out
    assert calibrate(200, True, 1, tmp_path, None, None) == 0
    assert len(read_results(tmp_path / "calibration" / "calibration.json").cells) == 1


def test_a_rate_outside_of_its_band_is_named_and_gives_exit_code_one(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(grid, "grid", lambda: [cell(3, Band(0.5, 0.6))])
    assert calibrate(200, False, 1, tmp_path, None, None) == 1
    page = (tmp_path / "calibration.md").read_text()
    assert "200 simulated experiments each: 1 outside of their bands" in page
    assert "outside: `recipe`, balanced, prompts 20, difference 0, 3 seeds: missed" in page
    assert "outside: recipe, balanced" in capsys.readouterr().err


def test_real_seeds_and_simulation_leave_each_other_alone(two_cells, monkeypatch, tmp_path):
    monkeypatch.setattr("rlbench.calibration.real.real_aa", lambda experiment, arm: real())
    assert calibrate(200, False, 1, tmp_path, tmp_path, "grpo") == 0
    assert "Nothing has been simulated yet" in (tmp_path / "calibration.md").read_text()
    assert calibrate(200, False, 1, tmp_path, None, None) == 0
    assert calibrate(200, False, 1, tmp_path, tmp_path, "grpo") == 0
    page = (tmp_path / "calibration.md").read_text()
    assert "2 designs with a band" in page
    assert ".050 [.030, .070] 1k" in page
    assert "no scores" in page


def test_wrong_arguments_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="at least 100, got 99"):
        calibrate(99, False, 1, tmp_path, None, None)
    with pytest.raises(InputError, match="--experiment"):
        calibrate(200, False, 1, tmp_path, None, "grpo")
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "calibration.json").write_text("{}")
    with pytest.raises(InputError, match="that this version wrote"):
        calibrate(200, False, 1, tmp_path, None, None)


def test_a_published_rate_gets_no_slack_and_a_short_one_does():
    band = Band(0.04, 0.06)
    assert band.holds(600, 10_000)
    assert not band.holds(601, 10_000)
    assert band.holds(75, 1_000)
    assert not band.holds(100, 1_000)
    assert not band.holds(15, 1_000)


def test_the_published_page_is_what_its_numbers_give():
    results = read_results(DOCS / "calibration" / "calibration.json")
    assert results.runs >= 10_000
    assert not results.short
    assert render(results) == (DOCS / "calibration.md").read_text()
    assert not results.outside
    names = {f"{each.section}/{each.family}/{'/'.join(each.design.values())}/{each.seeds}" for each in results.cells}
    assert names == {each.name for each in grid.grid()}


def test_figures_are_drawn_for_what_was_measured():
    results = read_results(DOCS / "calibration" / "calibration.json")
    drawn = figures(results)
    assert {path.name for path in (DOCS / "calibration").glob("*.svg")} == set(drawn)
