"""One of two processes that share a rollout batch by rows: the program that test_algorithms_data_parallel.py starts.

    python data_parallel_worker.py RANK STORE INPUT OUTPUT

Each process is given its half of the rows only. What belongs to the whole batch (advantages, weights) is computed on
what it gathers from the other, losses on its own rows, and gradients are added up.
"""

import sys

import torch
import torch.distributed as dist
from torch.nn.utils import parameters_to_vector

from rlbench.algorithms.algorithm import OnlineAlgorithm, PairPrediction, Prediction, Rollouts
from rlbench.policies.padding import TokenBatch
from rlbench.policies.tiny import build_tiny
from rlbench.policies.value_head import Critic
from rlbench.registry import load, names
from rlbench.trainers.gradient import experience

PER_ROW = ("mask", "old_logprobs", "reference_logprobs", "rewards", "truncated", "values")


def gradients(policy, batch, own, whole, rows, locally=False):
    """Loss and gradient, by algorithm, of the `rows` of `whole`, whose tokens are in `batch`.

    `own` are the rollouts of the rows. `locally` takes the weights of the rows alone, which is wrong.
    """
    found = {}
    for name in names("algorithms"):
        algorithm = load("algorithms", name)()
        policy.model.zero_grad()
        critic = Critic(policy).double()
        torch.nn.init.constant_(critic.head.weight, 0.1)
        logprobs = policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns)
        if isinstance(algorithm, OnlineAlgorithm):
            targets = algorithm.targets(whole)
            weights = algorithm.weights(targets.mask, whole.max_new_tokens)
            if locally:
                weights[rows] = algorithm.weights(targets.mask[rows], whole.max_new_tokens) / 2
            values = critic(batch.input_ids, batch.attention_mask, batch.columns)
            loss, _ = algorithm.loss(Prediction(logprobs, values), experience(whole, targets, weights, rows))
        else:  # neighbours are pairs
            sums = [(tensor * own.mask).sum(-1) for tensor in (logprobs, own.reference_logprobs)]
            sides = [tensor[side::2] for tensor in (*sums, own.mask.sum(-1)) for side in (0, 1)]
            loss, _ = algorithm.loss(PairPrediction(*sides), len(whole.mask) // 2)
        loss.backward()
        modules = [policy.model] + ([critic] if "critic" in algorithm.needs else [])
        parameters = [parameter for module in modules for parameter in module.parameters()]
        slopes = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        found[name] = torch.cat([loss.detach().view(1), parameters_to_vector(slopes)])
    return found


def rollouts_of(tensors, fixed):
    return Rollouts(**{name: tensors[name] for name in PER_ROW}, **fixed)


def policy_of(weights):
    policy = build_tiny(["abcdefgh "], hidden_size=16, layers=2, heads=2, max_positions=64, seed=0)
    policy.model.double().load_state_dict(weights)
    return policy


def gathered(tensor):
    """The rows of all processes. Truth values travel as bytes."""
    parts = [torch.empty_like(tensor, dtype=torch.uint8 if tensor.dtype == torch.bool else None) for _ in range(2)]
    dist.all_gather(parts, tensor.to(parts[0].dtype))
    return torch.cat(parts).to(tensor.dtype)


def main(rank, store, source, target):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    given = torch.load(source, weights_only=True)
    half = len(given["mask"]) // 2
    rows = torch.arange(rank * half, (rank + 1) * half)
    mine = {name: given[name][rows] for name in (*PER_ROW, "input_ids", "attention_mask")}
    whole = rollouts_of({name: gathered(mine[name]) for name in PER_ROW}, given["fixed"])
    own = rollouts_of(mine, given["fixed"])
    batch = TokenBatch(mine["input_ids"], mine["attention_mask"], mine["mask"])
    result = {}
    for key, locally in (("whole", False), ("local", True)):
        result[key] = gradients(policy_of(given["weights"]), batch, own, whole, rows, locally)
        for tensor in result[key].values():
            dist.all_reduce(tensor)
    if rank == 0:
        torch.save(result, target)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
