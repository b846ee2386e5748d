"""Checks of how the rewards moved in a training run: whether training raised its reward, and at whose cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from rlbench.stages.checks import TREND, zero_variance
from rlbench.stages.sighting import Sighting
from rlbench.stages.trained_run import TrainedRun, first_third, is_number, last_third

STANDARD_ERRORS = 2.0
"""A change of the mean reward within this many standard errors could be the noise of the batches."""
CLEAR = 3.0
"""Standard errors from which a rise or a fall is said to be one: rarely noise, even with many arms and seeds."""
PAST_ITS_BEST = 6.5
"""Standard errors from the best window of a curve to the last one from which it has fallen.

More than `CLEAR`, because the best of many windows is picked, few rows say little about the noise, and the noise of
neighbouring rows can be alike. Simulated false alarms per curve of 9, 20 and 60 rows while the proxy rises: at most
0.01 % in white noise; 0.2, 0.8 and 2 % in noise with an autocorrelation of 0.5. With white noise of 0.05, gold that
falls from 1 to 0 is found in 60 rows whether it falls slowly, in the first 15 % or in the last 20 % (all of 500 runs);
in 20 rows a fall in the first 15 % is found half the time, in 9 rows only a fall over the whole run is.
"""
SHORTEST_WINDOW = 3
"""Rows of a window at least."""


def reward_change(run: TrainedRun) -> tuple[float, float, float] | None:
    """Mean training reward in the first and the last third of learning, and the standard error of the change.

    None where the curve is too short, or where the rollouts were not those of the policy in training.
    """
    values = [float(row["reward_mean"]) for row in run.curve if _learns(row) and is_number(row.get("reward_mean"))]
    if len(values) < TREND:
        return None
    early, late = first_third(values), last_third(values)
    return fmean(early), fmean(late), _standard_error(values, len(early))


def _standard_error(values: Sequence[float], count: int) -> float:
    """Standard error of the difference of two means of `count` values each, from the noise of the curve.

    Differences of neighbours hold twice the noise of a batch and hardly any of the trend.
    """
    noise = fmean((after - before) ** 2 for before, after in itertools.pairwise(values)) / 2
    return math.sqrt(2 * noise / count)


def _learns(row: Mapping[str, Any]) -> bool:
    """Offline, rows of the drawing of pairs have a reward and those of the optimizer steps a gradient."""
    return is_number(row.get("grad_norm"))


def _reward_standstill(run: TrainedRun) -> Sighting | None:
    change = reward_change(run)
    if change is None:
        return None
    early, late, error = change
    facts: dict[str, float | str] = {"early": early, "late": late, "error": error, "size": run.step_size}
    numbers = "from {early:g} in the first third to {late:g} in the last (standard error of the change {error:g})"
    if late < early - CLEAR * error:
        words = (
            f"The training reward fell {numbers}, although it is what training maximises. Lower {{size}}, and "
            "look for a penalty that outweighs the reward (beta, missing_eos_penalty, overlong_buffer)."
        )
        return Sighting("reward_fell", "warning", words, facts)
    if abs(late - early) > STANDARD_ERRORS * error or zero_variance(run) is not None:
        return None  # where no group tells completions apart, that is the finding
    words = (
        f"The training reward did not move beyond the noise of its batches: {numbers}. Raise the budget or "
        "{size}, or use a reward that tells completions apart more often."
    )
    return Sighting("reward_not_moving", "warning", words, facts)


def _over_optimised(run: TrainedRun) -> Sighting | None:
    """Gao et al. 2023 (arXiv:2210.10760): the proxy goes on rising while the gold reward has passed its best."""
    for proxy_name, gold_name in (("reward_mean", "gold_mean"), ("dev_reward", "dev_gold")):
        rows = [
            row
            for row in run.curve
            if is_number(row.get(proxy_name))
            and is_number(row.get(gold_name))
            and (proxy_name == "dev_reward" or _learns(row))
        ]
        if len(rows) < TREND:
            continue
        proxy, gold = ([float(row[name]) for row in rows] for name in (proxy_name, gold_name))
        best, last = _best_and_last(gold)
        count = last.stop - last.start
        facts: dict[str, float | str] = {
            "proxy": fmean(proxy[best]),
            "proxy_late": fmean(proxy[last]),
            "gold": fmean(gold[best]),
            "gold_late": fmean(gold[last]),
            "size": run.step_size,
        }
        fell = fmean(gold[best]) - fmean(gold[last]) > PAST_ITS_BEST * _standard_error(gold, count)
        if fell and fmean(proxy[last]) - fmean(proxy[best]) > CLEAR * _standard_error(proxy, count):
            words = (
                "The reward that was trained on went on rising while the gold reward fell: the reward was {proxy:g} "
                "when gold was at its best, and {proxy_late:g} at the end; gold was {gold:g} then, and {gold_late:g} "
                "at the end. The policy exploits the reward (over-optimisation). Stop earlier, raise beta, lower "
                "{size}, or train a better reward model."
            )
            return Sighting("over_optimisation", "serious", words, facts, int(rows[best.stop - 1]["step"]))
    return None


def _best_and_last(values: Sequence[float]) -> tuple[slice, slice]:
    """The window with the highest mean that does not reach into the last window, and the last one: a fifth each."""
    count = max(SHORTEST_WINDOW, -(-len(values) // 5))
    last = len(values) - count
    start = max(range(last - count + 1), key=lambda place: fmean(values[place : place + count]))
    return slice(start, start + count), slice(last, len(values))


CHECKS: tuple[Callable[[TrainedRun], Sighting | None], ...] = (_over_optimised, _reward_standstill)
