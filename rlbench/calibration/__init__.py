"""Whether our intervals and tests do what they say: simulated worlds with a known truth, and splits of real seeds."""
