"""Compares what was scored, wherever it lies: runs, score folders, saved baselines.

from rlbench.comparison import compare

comparison = compare(["runs/mine", "runs/theirs"])
comparison.estimates      # a pandas frame, one row per pair, task and metric
"""

from rlbench.comparison.compare import Comparison, compare

__all__ = ["Comparison", "compare"]
