"""The offline loop: draw preference pairs from the shared SFT policy once, then learn from them.

The pairs are drawn inside the run, on the prompts that the online algorithms see, labelled by the same reward, and
charged to the same budget.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlbench.algorithms.algorithm import PreferenceAlgorithm
from rlbench.errors import InputError
from rlbench.rollouts.collect import collect, named_generator
from rlbench.rollouts.meter import Meter
from rlbench.rollouts.preferences import draw_pairs
from rlbench.seeding import stream
from rlbench.trainers.pairs import Pair, pair_step
from rlbench.trainers.trainer import Job, Learner, Progress, Trained


class OfflineLoop:
    """State of one preference-based run between optimizer steps."""

    def __init__(self, algorithm: PreferenceAlgorithm, job: Job) -> None:
        self.algorithm = algorithm
        self.job = job
        self.progress = Progress(0, Meter(), [])

    def run(self) -> Trained:
        """Draw the pairs, then train, each from its last checkpoint or from the start."""
        pairs = self._draw()
        job, options = self.job, self.algorithm.options
        if not pairs:
            raise InputError(
                f"no preference pair could be drawn for seed {job.seed}: in every group all completions got the same "
                f"reward; use a reward or prompts that tell completions apart"
            )
        per_epoch = -(-len(pairs) // options.batch_size)
        total = options.epochs * per_epoch
        self.learner = Learner(job.policy.model, options.learning_rate, options, total)
        self._resume()
        progress = self.progress
        first = job.batches  # rows of the curve before this one belong to the drawing of pairs
        while progress.step - first < total:
            self._optimizer_step(pairs, progress.step - first, per_epoch)
            progress.step += 1
            if (progress.step - first) % (4 * job.checkpoint_every) == 0 and progress.step - first < total:
                job.checkpoints.save(progress.step, self.learner.tensors("policy"), progress.to_json())
        progress.log(progress.position(), **job.dev_rewards(job.policy, progress.step, progress.meter))
        return Trained(progress.curve, progress.meter, progress.rollouts_digest)

    def _draw(self) -> list[Pair]:
        """Sample and label completions batch by batch; what was drawn before an interruption is kept."""
        job, pairs = self.job, list[Pair]()
        saved = job.preferences.latest()
        if saved is not None:
            self.progress = Progress.from_json(saved.state["progress"])
            pairs = [Pair(*pair) for pair in saved.state["pairs"]]
        progress = self.progress
        while progress.step < job.batches:
            pairs += self._draw_batch(progress.step)
            progress.step += 1
            if progress.step % job.checkpoint_every == 0 or progress.step == job.batches:
                state = [[pair.prompt, pair.chosen, pair.rejected] for pair in pairs]
                job.preferences.save(progress.step, {}, {"progress": progress.to_json(), "pairs": state})
        return pairs

    def _draw_batch(self, step: int) -> list[Pair]:
        job, progress = self.job, self.progress
        position = progress.position()
        dev: dict[str, float | None] = {"dev_reward": None}
        if step % job.dev_every == 0:
            dev = job.dev_rewards(job.reference, step, progress.meter)
        seed = job.seed if job.pair_seed is None else job.pair_seed
        generator = named_generator(job.reference.device, seed, job.task, "rollouts", step)
        meter = progress.meter
        collected = collect(job.reference, job.batch(step), job.sampling, job.reward, generator, meter, job.gold)
        progress.absorb(collected.digest())
        random = stream(seed, job.task, "pairs", step)
        size, pairing = job.sampling.completions_per_prompt, self.algorithm.options.pairing
        indices = draw_pairs(collected.rewards, size, random, pairing)
        progress.log(
            position,
            **collected.statistics(size),
            **dev,
            pairs=float(len(indices)),
        )
        tokens = [list(completion.tokens) for completion in collected.completions]
        return [Pair(collected.prompts[chosen], tokens[chosen], tokens[rejected]) for chosen, rejected in indices]

    def _optimizer_step(self, pairs: Sequence[Pair], taken: int, per_epoch: int) -> None:
        job, options, meter = self.job, self.algorithm.options, self.progress.meter
        position, dev = self.progress.position(), dict[str, float | None](dev_reward=None)
        if taken % (4 * job.dev_every) == 0 and taken > 0:
            dev = job.dev_rewards(job.policy, self.progress.step, meter)
        epoch, place = divmod(taken, per_epoch)
        order = stream(job.seed, job.task, "pair order", epoch).permutation(len(pairs))
        chosen = [pairs[index] for index in order[place * options.batch_size : (place + 1) * options.batch_size]]
        found = pair_step(self.algorithm, job, self.learner, chosen, self.progress, taken)
        self.progress.log(position, **dev, **found)

    def _resume(self) -> None:
        checkpoint = self.job.checkpoints.latest()
        if checkpoint is not None:
            self.learner.restore("policy", checkpoint.tensors)
            self.progress = Progress.from_json(checkpoint.state)
