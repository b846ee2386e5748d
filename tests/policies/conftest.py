import os
from pathlib import Path

import pytest
import torch

import rlbench
from rlbench.policies.causal_lm import load_policy
from rlbench.policies.tiny import build_tiny

torch.set_num_threads(1)

CPU = torch.device("cpu")
DATA = Path(os.environ.get("RLBENCH_DATA_DIR") or Path(rlbench.__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def stories_folder():
    folder = DATA / "stories260k-hf"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; set RLBENCH_DATA_DIR")
    return folder


@pytest.fixture(scope="session")
def stories_oracle(stories_folder):
    path = DATA / "stories260k-oracle.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there; set RLBENCH_DATA_DIR")
    return path


@pytest.fixture(scope="session")
def stories(stories_folder):
    return load_policy(stories_folder, CPU)


@pytest.fixture
def tiny():
    """A policy with large random weights, so that its distributions are far from uniform."""
    policy = build_tiny(["abcdefgh "], hidden_size=32, layers=2, heads=2, max_positions=64, seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(0.25 * torch.randn(parameter.shape, generator=generator))
    return policy


@pytest.fixture
def saved(tiny, tmp_path):
    tiny.save(tmp_path / "model")
    return tmp_path / "model"
