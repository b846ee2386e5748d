"""What judges completions: factories that return a `Grader`, found by name through entry points."""
