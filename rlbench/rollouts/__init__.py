"""Sampling for training: rollouts, preference pairs, and the meter of what was spent."""
