"""What `rlbench tasks show` and `rlbench tasks check` do: tasks rendered for people, and validated."""
