"""What runs inside the sandbox. Only the standard library; imports nothing of rlbench outside this package."""
