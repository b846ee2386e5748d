"""Alterations of an installed trainer, to see that the probes notice them."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def altered(monkeypatch):
    """Wrap a method of one of TRL's trainers: `change(trainer, original, *arguments, **keywords)`."""
    trl = pytest.importorskip("trl", reason="needs the extra trl")

    def alter(kind, method, change):
        trainer = getattr(trl, kind)
        original = getattr(trainer, method)

        def wrapped(self, *arguments, **keywords):
            return change(self, lambda *a, **k: original(self, *a, **k), *arguments, **keywords)

        monkeypatch.setattr(trainer, method, wrapped)

    return alter


@pytest.fixture
def set_apart():
    """Names of the axes on which a check differs, or cannot tell."""
    return lambda check: {axis.name for axis in check.axes if axis.verdict != "agrees"}
