import pytest
import torch

from rlbench.policies.tiny import build_tiny

torch.set_num_threads(1)


@pytest.fixture
def tiny():
    return build_tiny(["abcdefgh "], hidden_size=32, layers=2, heads=2, max_positions=64, seed=3)
