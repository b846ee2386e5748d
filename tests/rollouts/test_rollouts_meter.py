import json
import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rlbench.policies.tiny import build_tiny
from rlbench.rollouts.meter import Meter

CPU = torch.device("cpu")


def test_a_meter_survives_json_and_goes_on():
    meter = Meter(
        prompts=3, completions=24, generated_tokens=100, trained_tokens=90, reward_calls=24, optimizer_steps=4
    )
    with meter.phase("rollout", CPU) as phase:
        phase.tokens += 100
    meter.forward(10, 7)
    restored = Meter.from_json(json.loads(json.dumps(meter.to_json())))
    assert restored == meter
    assert restored.seconds == meter.seconds
    with restored.phase("rollout", CPU) as phase:
        phase.tokens += 11
    assert restored.phases["rollout"].tokens == 111
    assert meter.phases["rollout"].tokens == 100


def test_phases_add_up_and_evaluation_is_not_training():
    meter = Meter()
    for name in ("rollout", "dev", "rollout"):
        with meter.phase(name, CPU):
            time.sleep(0.01)
    assert meter.phases["rollout"].seconds >= 0.02
    assert meter.phases["dev"].seconds >= 0.01
    assert meter.seconds == meter.phases["rollout"].seconds == meter.to_json()["seconds"]
    assert meter.peak_memory_bytes > 10_000_000


@pytest.fixture
def policy():
    return build_tiny(["abcdefgh "], hidden_size=64, layers=3, heads=2, max_positions=64, seed=0)


@pytest.mark.parametrize("backward", [False, True])
def test_flops_against_torchs_counter(policy, backward):
    # both charge every product with a weight matrix and neither (on the CPU) attention scores; the meter alone charges
    # the weights of norms and the output layer at the first column, together below 1 %
    ids = torch.randint(4, 12, (4, 16), generator=torch.Generator().manual_seed(0))
    attention = torch.ones_like(ids)
    meter = Meter()
    with FlopCounterMode(display=False) as counter:
        total = policy.logits(ids, attention, 15).sum()
        if backward:
            total.backward()
    (meter.forward_backward if backward else meter.forward)(policy.parameters, ids.numel())
    assert meter.flops == pytest.approx(counter.get_total_flops(), rel=0.01)
