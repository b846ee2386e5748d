"""Where stage calls run."""
