"""How a grader's columns become one number: `Metric` values, found by name through entry points."""
