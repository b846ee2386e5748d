import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def random():
    return torch.Generator().manual_seed(20240607)
