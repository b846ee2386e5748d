"""Preference pairs from which a reward model is trained and on which it is measured.

Writes `pairs.jsonl`: `prompt` (a text, or the messages of a chat), `chosen`, `rejected`, their gold rewards
`chosen_gold` and `rejected_gold` (null where the labels are somebody's preferences), `flipped` (the label was turned
round on purpose, so that `chosen` is the worse one) and `part` (`train` or `held_out`). No prompt is in both parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.artifacts.call import Call
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.artifacts.files import write_jsonl
from rlbench.errors import InputError
from rlbench.graders.roles import as_reward, load_grader
from rlbench.policies.causal_lm import Policy, load_policy
from rlbench.policies.device import resolve_device
from rlbench.records import Preference, Sample
from rlbench.rollouts.collect import Reward, Sampling, collect, named_generator
from rlbench.rollouts.meter import Meter
from rlbench.rollouts.preferences import LabelledPair
from rlbench.seeding import stream
from rlbench.tasks.prompts import prompt_hash
from rlbench.tasks.task import Task, load_task

MODEL = "model"
PAIRS = "pairs.jsonl"
PROMPTS_AT_ONCE = 64
MOST_DRAWS = 20
"""Pairs of completions that are sampled at most for each pair that is wanted; gold must tell one of them apart."""
HELD_OUT_PROMPTS = 0.2
"""Share of the training prompts that is kept for held-out pairs where the task has no dev split."""
HELD_OUT_PREFERENCES = 0.25
"""Largest share of a task's own preference pairs that is held out."""


def make_pairs(call: Call) -> Mapping[str, Any]:
    """Draw and label the pairs that the call's config asks for; return what that took."""
    config = call.config
    task = load_task(call.circumstances.task_paths[config["task"]], call.circumstances.data_dir)
    pairs, facts = _labelled_by_gold(call, task) if config["labels"] == "gold" else _preferences(call, task)
    random = stream("label noise", config["task"], config["seed"])
    training = [pair.turned() if random.random() < config["noise"] else pair for pair in pairs if pair.part == "train"]
    held_out = [pair for pair in pairs if pair.part != "train"]
    write_jsonl(call.out / PAIRS, [pair.to_json() for pair in [*training, *held_out]])
    counts = {"pairs": len(training), "held_out": len(held_out), "flipped": sum(pair.flipped for pair in training)}
    return counts | facts


def _preferences(call: Call, task: Task) -> tuple[list[LabelledPair], dict[str, int]]:
    """The task's own pairs: whole prompts are held out until there are enough, and of the others as many as asked."""
    config = call.config
    given = task.preferences()
    by_prompt: dict[str, list[Preference]] = {}
    for pair in given:
        if pair.chosen != pair.rejected:
            by_prompt.setdefault(pair.prompt, []).append(pair)
    prompts, different = list(by_prompt), sum(map(len, by_prompt.values()))
    if len(prompts) < 2:
        raise InputError(
            f"task {task.name!r} has preference pairs on {len(prompts)} prompt(s), expected at least 2: one to train "
            f"the reward model on and one to measure it on"
        )
    wanted = max(1, min(config["held_out"], int(HELD_OUT_PREFERENCES * different)))
    parts: dict[str, list[LabelledPair]] = {"train": [], "held_out": []}
    order = stream("preference prompts", task.name, config["seed"]).permutation(len(prompts))
    for index in order:
        part = "held_out" if len(parts["held_out"]) < wanted and index != order[-1] else "train"
        for each in by_prompt[prompts[index]]:
            parts[part].append(LabelledPair(each.prompt, each.chosen, each.rejected, None, None, False, part))
    pairs = [*parts["train"][: config["pairs"]], *parts["held_out"][:wanted]]
    return pairs, {"ties": len(given) - different}


def _labelled_by_gold(call: Call, task: Task) -> tuple[list[LabelledPair], dict[str, int]]:
    """Pairs of completions of the SFT policy, the better one by the gold reward first."""
    config, gold = call.config, call.config["gold"]
    device = resolve_device(call.circumstances.device)
    policy = load_policy(call.input("sft") / MODEL, device, **config["policy"])
    reward = as_reward(load_grader(gold["grader"], gold["options"]), gold["column"])
    pairs: list[LabelledPair] = []
    totals = {"completions": 0, "gold_calls": 0, "ties": 0}
    for part, samples in _prompts(task, config).items():
        wanted = config["pairs"] if part == "train" else config["held_out"]
        drawn = _Draws(policy, reward, samples, config, part, Checkpoints(call.work, part)).run(wanted)
        pairs += drawn.pairs
        for name in totals:
            totals[name] += getattr(drawn, name)
    return pairs, totals


def _prompts(task: Task, config: Mapping[str, Any]) -> dict[str, list[Sample]]:
    """Prompts of the training pairs and of the held-out pairs; those that gold does not admit are left out."""
    gold = load_grader(config["gold"]["grader"], config["gold"]["options"])

    def admitted(split: str) -> list[Sample]:
        samples = list(task.samples(split))
        if gold.admits is None:
            return samples
        return [sample for sample, reason in zip(samples, gold.admits(samples), strict=True) if not reason]

    training = admitted("train")
    if "dev" in task.splits:
        held_out = admitted("dev")
    else:
        last = max(1, round(HELD_OUT_PROMPTS * len(training)))
        training, held_out = training[:-last], training[-last:]
    known = {prompt_hash(sample.prompt) for sample in training}
    held_out = [sample for sample in held_out if prompt_hash(sample.prompt) not in known]
    parts = {"train": training, "held_out": held_out}
    for part, samples in parts.items():
        if not samples:
            raise InputError(
                f"task {task.name!r}: the gold reward {gold.name!r} leaves no prompts for {part} pairs of the reward "
                f"model; give the task more training prompts or a dev split"
            )
    return parts


class _Draws:
    """Passes over prompts with two completions each, until gold has told enough pairs apart."""

    def __init__(
        self,
        policy: Policy,
        reward: Reward,
        samples: Sequence[Sample],
        config: Mapping[str, Any],
        part: str,
        checkpoints: Checkpoints,
    ) -> None:
        self.policy = policy
        self.reward = reward
        self.samples = samples
        self.config = config
        self.part = part
        self.checkpoints = checkpoints
        self.sampling = Sampling(2, config["sampling"]["max_new_tokens"], config["sampling"]["temperature"])
        self.meter = Meter()
        self.pairs: list[LabelledPair] = []
        self.ties = 0
        self.step = 0

    @property
    def completions(self) -> int:
        """Completions sampled so far."""
        return self.meter.completions

    @property
    def gold_calls(self) -> int:
        """Completions judged so far."""
        return self.meter.reward_calls

    def run(self, wanted: int) -> _Draws:
        """Draw `wanted` pairs, from the last checkpoint or from the start.

        Raises:
            InputError: gold gives nearly all pairs of completions the same reward.
        """
        self._resume()
        per_pass = -(-len(self.samples) // PROMPTS_AT_ONCE)
        while len(self.pairs) < wanted:
            if self.completions >= 2 * MOST_DRAWS * wanted:
                raise InputError(
                    f"only {len(self.pairs)} of {wanted} {self.part} pairs for the reward model of task "
                    f"{self.config['task']!r}: of {self.completions // 2} pairs of completions of the SFT policy the "
                    f"gold reward gave {self.ties} the same value twice; use a finer gold reward, a higher sampling "
                    f"temperature, or fewer pairs"
                )
            self._draw(*divmod(self.step, per_pass))
            self.step += 1
            if self.step % per_pass == 0:
                self._save()
        self.pairs = self.pairs[:wanted]
        return self

    def _draw(self, turn: int, place: int) -> None:
        config = self.config
        names = ("preference pairs", config["task"], config["seed"], self.part, turn)
        order = stream(*names).permutation(len(self.samples))
        batch = [self.samples[row] for row in order[place * PROMPTS_AT_ONCE : (place + 1) * PROMPTS_AT_ONCE]]
        generator = named_generator(self.policy.device, *names, place)
        collected = collect(self.policy, batch, self.sampling, self.reward, generator, self.meter)
        for row, sample in enumerate(batch):
            judged = zip(collected.rewards, collected.texts, strict=True)
            (worse, rejected), (better, chosen) = sorted(list(judged)[2 * row : 2 * row + 2])
            if better == worse:
                self.ties += 1
            else:
                self.pairs.append(LabelledPair(sample.prompt, chosen, rejected, better, worse, False, self.part))

    def _save(self) -> None:
        state = {"step": self.step, "ties": self.ties, "meter": self.meter.to_json()}
        self.checkpoints.save(self.step, {}, state | {"pairs": [pair.to_json() for pair in self.pairs]})

    def _resume(self) -> None:
        saved = self.checkpoints.latest()
        if saved is not None:
            self.step, self.ties = saved.state["step"], saved.state["ties"]
            self.meter = Meter.from_json(saved.state["meter"])
            self.pairs = [LabelledPair.from_json(row) for row in saved.state["pairs"]]
