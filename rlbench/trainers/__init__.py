"""The two training loops: online (rollouts of the policy in training) and offline (preference pairs)."""
