"""A reward model of a real pretrained model, on what real people preferred: its accuracy is told as it is."""

import json

import pytest
import torch

from rlbench.artifacts.run_folder import RunFolder
from rlbench.execution.worker import make
from rlbench.experiment import Plan
from rlbench.spec import read_experiment

torch.set_num_threads(1)
pytestmark = pytest.mark.slow
EXPERIMENT = """\
name: people
base_policy: {data: stories260k-hf}
sft: none
tasks: [hh_rlhf]
# not centred: what is measured are differences, and reading the training texts again takes as long as learning them
reward_model: {labels: preferences, pairs: 48, held_out: 24, epochs: 1, batch_size: 16, centre: false}
algorithms: [grpo]
seeds: [0]
budget: {completions: 128}
rollout: {max_prompt_tokens: 200, max_new_tokens: 32}
"""


def test_its_accuracy_on_held_out_pairs_of_people_has_an_interval(data_dir, tmp_path):
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    experiment, document = read_experiment(tmp_path / "e.yaml")
    folder = RunFolder(tmp_path / "run")
    folder.root.mkdir()
    plan = Plan(experiment, folder, data_dir, document=document)
    for part in plan.parts.all()[:3]:  # base policy, pairs, reward model
        make(plan.call(part))
    made = folder.path(plan.parts.reward_model(plan.tasks["hh_rlhf"]))
    found = json.loads((made / "agreement.json").read_text())
    assert found["labels"] == "preferences"
    assert (found["pairs"], found["held_out"]) == (48, 24)
    # Such a model knows little of what people like: near a coin. It must neither fall far below nor look too good.
    assert 0.1 < found["low"] < found["accuracy"] < found["high"] < 0.95
    assert found["high"] - found["low"] > 0.25, "24 pairs cannot say it more exactly"
    assert sum(each["count"] for each in found["calibration"]) == 24
