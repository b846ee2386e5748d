"""One short file per algorithm, to be read beside its paper. They share pure functions, never control flow."""
