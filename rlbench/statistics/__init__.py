"""Honest comparisons of trained policies: the right unit, a calibrated test, a verdict that may be "inconclusive".

Three estimands answer three questions, and every `Estimate` names its own:

* ``checkpoints`` (E1): are *these* checkpoints different? Prompts are random, checkpoints are fixed.
* ``recipe`` (E2): is the *recipe* different on this benchmark? Seeds are random, prompts are fixed.
* ``population`` (E3): is the recipe different on prompts *like* these? Both are random.

Arrays have named axes in a fixed order: [seed, prompt], [seed, prompt, sample], [seed, prompt, component] or
[seed, task].
Differences are a − b.
"""

from rlbench.statistics.bootstrap import bootstrap_difference, bootstrap_value
from rlbench.statistics.bradley_terry import BradleyTerry, Preferences, bradley_terry, preferences_from_scores
from rlbench.statistics.components import Components, variance_components
from rlbench.statistics.effect import probability_of_improvement, share_of_prompts_improved
from rlbench.statistics.estimate import Estimand, Estimate, at_confidence
from rlbench.statistics.interquartile import (
    PerformanceProfile,
    interquartile_difference,
    interquartile_estimate,
    interquartile_mean,
    performance_profile,
)
from rlbench.statistics.jackknife import jackknife_difference
from rlbench.statistics.multiplicity import Adjusted, benjamini_hochberg, family, holm, simultaneous_confidence
from rlbench.statistics.paired import paired_difference
from rlbench.statistics.power import minimum_detectable_effect, seeds_needed, seeds_to_pass, smallest_sign_flip_p
from rlbench.statistics.ranking import PairTest, rank_intervals, tie_classes
from rlbench.statistics.relabelling import relabelling_p
from rlbench.statistics.resamples import Resamples, draw_resamples
from rlbench.statistics.sequential import Look, judge_look, looks
from rlbench.statistics.signflip import mcnemar_p, sign_flip_p
from rlbench.statistics.verdict import Verdict, verdict

__all__ = [
    "Adjusted",
    "BradleyTerry",
    "Components",
    "Estimand",
    "Estimate",
    "Look",
    "PairTest",
    "PerformanceProfile",
    "Preferences",
    "Resamples",
    "Verdict",
    "at_confidence",
    "benjamini_hochberg",
    "bootstrap_difference",
    "bootstrap_value",
    "bradley_terry",
    "draw_resamples",
    "family",
    "holm",
    "interquartile_difference",
    "interquartile_estimate",
    "interquartile_mean",
    "jackknife_difference",
    "judge_look",
    "looks",
    "mcnemar_p",
    "minimum_detectable_effect",
    "paired_difference",
    "performance_profile",
    "preferences_from_scores",
    "probability_of_improvement",
    "rank_intervals",
    "relabelling_p",
    "seeds_needed",
    "seeds_to_pass",
    "share_of_prompts_improved",
    "sign_flip_p",
    "simultaneous_confidence",
    "smallest_sign_flip_p",
    "tie_classes",
    "variance_components",
    "verdict",
]
