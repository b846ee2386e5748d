"""Tasks: what policies are trained and measured on, described by a folder with a task.yaml."""
