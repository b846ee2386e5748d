"""`make bench-statistics`: how long comparisons take, how much memory they need, and scipy.stats.bootstrap beside them.

    python statistics_speed.py [--rounds N]

The evaluation is 5 seeds × 1,000 prompts, 4 arms and so 6 pairs, 10,000 replicates; metrics are BLEU (10 components)
and perplexity (2). Every part runs in a fresh process with one thread. The parts:

* crossed: intervals for seeds and prompts at once (estimand `population`) for all pairs, with time and peak memory;
* scipy: time per metric and pair. `scipy.stats.bootstrap(..., vectorized=True, paired=True, method="percentile")` gets
  the components as its samples, as its documentation has it, and a second time, in its best case, the indices of the
  prompts, from which the statistic gathers rows that lie together in memory. scipy resamples prompts only; ours gives
  the interval over seeds and prompts from as many replicates. Both standard errors over prompts are compared;
* many: 2,000 metrics × 6 pairs.

Times are of the processor, which with one thread is what a clock shows on a quiet machine, so that other work matters
little. Rounds are interleaved and the best of each contestant counts. Nothing fails when a target is missed: the table
says so.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time

SEEDS, PROMPTS, ARMS, REPLICATES = 5, 1_000, 4, 10_000
MANY, FEW = 2_000, 20
PAIRS = list(itertools.combinations(range(ARMS), 2))
# scipy gathers batch × prompts × components × seeds × arms numbers: more per batch is slower, and 1,000 take 1 GB.
BATCH = {"samples": 50, "rows": 10}


def megabytes() -> float:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bleu_sums(arm):
    """Matches and n-grams of orders 1 to 4, length and reference length, [seed, prompt, 10]."""
    import numpy as np

    generator = np.random.default_rng(arm)
    length = generator.integers(10, 40, size=(SEEDS, PROMPTS))
    easy = generator.beta(8, 8, size=(SEEDS, PROMPTS))
    totals = np.stack([length - order for order in range(4)], axis=-1)
    matches = generator.binomial(totals, easy[..., None] ** [1, 2, 3, 4])
    reference = length + generator.integers(-3, 4, size=length.shape)
    return np.concatenate([matches, totals, length[..., None], reference[..., None]], axis=-1).astype(float)


def token_sums(arm):
    """Negative log-likelihood and tokens, [seed, prompt, 2]."""
    import numpy as np

    generator = np.random.default_rng(arm)
    tokens = generator.integers(5, 60, size=(SEEDS, PROMPTS)).astype(float)
    return np.stack([tokens * generator.gamma(20.0, 0.1, size=tokens.shape), tokens], axis=-1)


def metrics():
    from rlbench.metrics.bleu import bleu
    from rlbench.metrics.likelihood import perplexity

    return {"bleu": (bleu.aggregate, bleu_sums), "perplexity": (perplexity.aggregate, token_sums)}


def seconds(run, *arguments):
    """The result of a call and how long it kept the processor busy."""
    started = time.process_time()
    result = run(*arguments)
    return result, time.process_time() - started


def compared(arms, aggregate, draws, pairs, estimand):
    """Estimates of the pairs, each arm resampled once."""
    from rlbench.statistics.arm_metric import ArmMetric
    from rlbench.statistics.bootstrap import metric_difference

    kept = [ArmMetric(stats, aggregate, draws) for stats in arms]
    return [metric_difference(kept[a], kept[b], estimand=estimand) for a, b in pairs]


def drawn():
    """Resamples with their weights."""
    from rlbench.statistics import draw_resamples

    draws = draw_resamples(PROMPTS, REPLICATES)
    assert draws.weights.shape == (REPLICATES, PROMPTS)  # drawn when first asked for
    return draws


def crossed():
    import rlbench.statistics  # noqa: F401

    (aggregate, sums), imported, import_megabytes = metrics()["bleu"], time.process_time(), megabytes()
    arms = [sums(arm) for arm in range(ARMS)]
    data_megabytes, started = megabytes(), time.perf_counter()
    draws, drawing = seconds(drawn)
    _, comparing = seconds(compared, arms, aggregate, draws, PAIRS, "population")
    return {
        "import s": imported,
        "import MB": import_megabytes,
        "data MB": data_megabytes,
        "drawing s": drawing,
        "comparing s": comparing,
        "clock s": time.perf_counter() - started,
        "peak MB": megabytes(),
    }


def scipy_samples(a, b, aggregate):
    """As documented: one sample [seed, prompt] for every component of both arms, paired by prompt."""
    import numpy as np
    from scipy.stats import bootstrap

    components = a.shape[-1]
    samples = [np.ascontiguousarray(arm[..., c]) for arm in (a, b) for c in range(components)]

    def difference(*resampled, axis):
        sums = np.stack([sample.sum(axis=axis) for sample in resampled], axis=-1)
        return (aggregate(sums[..., :components]) - aggregate(sums[..., components:])).mean(axis=0)

    return bootstrap(
        samples, difference, paired=True, axis=-1, vectorized=True, n_resamples=REPLICATES, batch=BATCH["samples"],
        method="percentile", rng=0,
    ).standard_error  # fmt: skip


def scipy_rows(a, b, aggregate):
    """At its best: scipy resamples indices, and a prompt's components of all seeds and both arms are one row."""
    import numpy as np
    from scipy.stats import bootstrap

    rows = np.stack([a, b]).transpose(2, 0, 1, 3).reshape(PROMPTS, -1)

    def difference(indices, axis):
        sums = rows[indices].sum(axis=-2)
        by_seed = aggregate(sums.reshape(*sums.shape[:-1], 2, SEEDS, -1)).mean(axis=-1)
        return by_seed[..., 0] - by_seed[..., 1]

    return bootstrap(
        (np.arange(PROMPTS),), difference, paired=True, vectorized=True, n_resamples=REPLICATES, batch=BATCH["rows"],
        method="percentile", rng=0,
    ).standard_error  # fmt: skip


def beside_scipy(rounds):
    import scipy.stats  # noqa: F401

    import rlbench.statistics  # noqa: F401

    table = {}
    for name, (aggregate, sums) in metrics().items():
        arms = [sums(arm) for arm in range(ARMS)]
        spent = {name: [] for name in ("six pairs", "one pair", "one pair, cold", "scipy samples", "scipy rows")}
        for _ in range(rounds):
            draws, drawing = seconds(drawn)
            spent["six pairs"].append(seconds(compared, arms, aggregate, draws, PAIRS, "population")[1] / len(PAIRS))
            spent["one pair"].append(seconds(compared, arms, aggregate, draws, PAIRS[:1], "population")[1])
            spent["one pair, cold"].append(drawing + spent["one pair"][-1])
            spent["scipy samples"].append(seconds(scipy_samples, *arms[:2], aggregate)[1])
            theirs, time_of_rows = seconds(scipy_rows, *arms[:2], aggregate)
            spent["scipy rows"].append(time_of_rows)
        (ours,) = compared(arms, aggregate, draws, PAIRS[:1], "checkpoints")
        best = {contestant: min(values) for contestant, values in spent.items()}
        table[name] = best | {"standard errors": ours.standard_error / theirs}
    return table | {"peak MB": megabytes()}


def many():
    from rlbench.statistics import benjamini_hochberg

    aggregate, sums = metrics()["perplexity"]
    arms = [sums(arm) for arm in range(ARMS)]
    draws = drawn()

    def recipes():
        found = [compared(arms, aggregate, draws, PAIRS, "recipe") for _ in range(MANY)]
        return benjamini_hochberg([estimate.p_value for pairs in found for estimate in pairs])

    def populations(count):
        return [compared(arms, aggregate, draws, PAIRS, "population") for _ in range(count)]

    return {
        "recipe s": seconds(recipes)[1],
        "half s": seconds(populations, FEW // 2)[1],
        "few s": seconds(populations, FEW)[1],
        "peak MB": megabytes(),
    }


def fresh(part, rounds):
    """What a part measures in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--rounds", str(rounds)]
    one_thread = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return json.loads(subprocess.run(command, check=True, env=one_thread, stdout=subprocess.PIPE, text=True).stdout)


def met(condition):
    return "met" if condition else "NOT met"


def report(rounds):
    import numpy
    import scipy

    print(f"Python {sys.version.split()[0]}, numpy {numpy.__version__}, scipy {scipy.__version__}, one thread")
    print(f"{SEEDS} seeds × {PROMPTS:,} prompts, {REPLICATES:,} replicates, best of {rounds}")
    runs = [fresh("crossed", rounds) for _ in range(rounds)]
    best = {key: min(run[key] for run in runs) for key in runs[0]}
    total = min(run["drawing s"] + run["comparing s"] for run in runs)
    print(f"\nCrossed, {len(PAIRS)} pairs of {ARMS} arms, 10 components, in a fresh process")
    print(f"  importing                {best['import s']:8.3f} s  {best['import MB']:6.0f} MB")
    print(f"  data of four arms                    {best['data MB']:6.0f} MB")
    print(f"  drawing weights, once    {best['drawing s']:8.3f} s")
    print(f"  six pairs                {best['comparing s']:8.3f} s")
    print(f"  drawing and six pairs    {total:8.3f} s             target < 5 s: {met(total < 5)}")
    print(f"    by the clock           {best['clock s']:8.3f} s")
    peak = max(run["peak MB"] for run in runs)
    print(f"  peak memory                          {peak:6.0f} MB  target < 1 GB: {met(peak < 1000)}")

    table = fresh("scipy", rounds)
    peak = table.pop("peak MB")
    print(f"\nPer metric and pair, ms; how many times faster than scipy (peak of this process {peak:.0f} MB)")
    print(f"  {'':26}" + "".join(f"{name:>12} {'×samples':>9} {'×rows':>7}" for name in table))
    for key in ("six pairs", "one pair", "one pair, cold", "scipy samples", "scipy rows"):
        cells = ""
        for row in table.values():
            ratios = [row[theirs] / row[key] for theirs in ("scipy samples", "scipy rows")]
            cells += f"{1000 * row[key]:12.1f} {ratios[0]:9.1f} {ratios[1]:7.1f}"
        print(f"  {('ours, ' if key in ('six pairs', 'one pair', 'one pair, cold') else '') + key:26}{cells}")
    for theirs in ("samples", "rows"):
        least = min(row[f"scipy {theirs}"] / row["six pairs"] for row in table.values())
        print(f"  target ≥ 20 × scipy {theirs}, weights and arms reused: {met(least >= 20)} (least {least:.1f})")
    print("  standard error over prompts, ours / scipy:", *(f"{row['standard errors']:.3f}" for row in table.values()))

    row = fresh("many", rounds)
    print(f"\n{MANY:,} metrics × {len(PAIRS)} pairs (peak {row['peak MB']:.0f} MB)")
    print(f"  recipe, with Benjamini-Hochberg    {row['recipe s']:6.1f} s")
    print(
        f"  population, {FEW} metrics             {row['few s']:6.2f} s, {FEW // 2} metrics {row['half s']:.2f} s; "
        f"so {MANY:,} take about {row['few s'] * MANY / FEW:.0f} s"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=["crossed", "scipy", "many"], help="measure one part; prints JSON")
    chosen = parser.parse_args()
    parts = {"crossed": crossed, "scipy": lambda: beside_scipy(chosen.rounds), "many": many}
    if chosen.part:
        print(json.dumps(parts[chosen.part]()))
    else:
        report(chosen.rounds)


if __name__ == "__main__":
    main()
