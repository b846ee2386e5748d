"""Two processes with half of the rows each (gloo) get the loss and gradient of one process with all rows."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import data_parallel_worker as worker
import pytest
import torch

from rlbench.registry import load, names


@pytest.fixture(scope="module")
def results(case, build_policy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data_parallel")
    policy, rollouts = build_policy(0), case.rollouts
    fixed = {"group_size": rollouts.group_size, "max_new_tokens": rollouts.max_new_tokens}
    tensors = {name: getattr(rollouts, name) for name in worker.PER_ROW}
    tokens = {"input_ids": case.batch.input_ids, "attention_mask": case.batch.attention_mask}
    source, target = folder / "given.pt", folder / "found.pt"
    torch.save({**tensors, **tokens, "fixed": fixed, "weights": policy.model.state_dict()}, source)
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    environment = os.environ | {"GLOO_SOCKET_IFNAME": loopback}
    program, files = str(Path(worker.__file__)), [str(folder / "store"), str(source), str(target)]
    processes = [
        subprocess.Popen([sys.executable, program, str(rank), *files], stderr=subprocess.PIPE, env=environment)
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    alone = worker.gradients(policy, case.batch, rollouts, rollouts, torch.arange(12))
    return alone, torch.load(target, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", names("algorithms"))
def test_two_processes_find_what_one_finds(name, results):
    alone, both = results
    expected, found = alone[name], both["whole"][name]
    assert float(expected[0].abs()) > 1e-3
    assert float(found[0]) == pytest.approx(float(expected[0]), rel=1e-6)
    assert float((found[1:] - expected[1:]).abs().max()) <= 1e-6 * float(expected[1:].abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({"grpo", "gspo", "dapo", "ppo", "reinforce_pp", "rloo", "trpo"}))
def test_a_mean_over_each_processs_own_rows_would_differ_where_lengths_matter(name, results):
    """The defect that weights of the whole step avoid, so that the test above can fail."""
    alone, both = results
    expected, found = alone[name][1:], both["local"][name][1:]
    differs = float((found - expected).abs().max()) > 1e-3 * float(expected.abs().max())
    assert differs == (load("algorithms", name)().options.aggregation == "token_mean")
