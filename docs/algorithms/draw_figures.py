"""Draws the figures of docs/algorithms/ from rlbench's own functions: no formula is written down a second time.

    python docs/algorithms/draw_figures.py [FOLDER]

writes the SVG files into FOLDER, by default `figures/` beside this file. The same code gives the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from rlbench.algorithms.algorithm import Experience, Prediction, Rollouts
from rlbench.algorithms.dapo import dapo
from rlbench.algorithms.dpo import dpo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo
from rlbench.algorithms.options import PolicyGradient
from rlbench.algorithms.ppo import ppo
from rlbench.algorithms.terms import kl_in_loss, kl_in_reward, shaped_rewards, weighted
from rlbench.algorithms.trpo import trpo
from rlbench.errors import InputError
from rlbench.functional import losses
from rlbench.functional.advantages import gae, group_advantages
from rlbench.functional.kl import ESTIMATORS
from rlbench.functional.logprobs import categorical_kl
from rlbench.functional.masking import aggregation_weights
from rlbench.functional.natural_gradient import backtrack, natural_step
from rlbench.functional.ratios import sequence_log_ratio
from rlbench.functional.shaping import adapted_beta
from rlbench.rendering.palette import ARMS, INK, MARKERS, MUTED, NEUTRAL
from rlbench.rendering.svg import new_figure, style
from rlbench.seeding import stream

STROKES = ("-", "--", "-.", ":")
Curve = Callable[[Tensor], Tensor]


def sheet(width: float, height: float, columns: int, rows: int = 1, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure in inches with a grid of empty panels, left to right and top to bottom."""
    figure = new_figure(width, height)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06)
    panels = list(figure.subplots(rows, columns, sharey=share_y, squeeze=False).flat)
    for panel in panels:
        panel.grid(color="#dde2e8")
        panel.tick_params(labelcolor=INK)
    return figure, panels


def label(panel: Axes, title: str, across: str, up: str) -> None:
    """Name a panel and its axes."""
    panel.set_title(title)
    panel.set_xlabel(across)
    panel.set_ylabel(up)


def key(figure: Figure, panel: Axes) -> None:
    """Put the names of a panel's lines under the whole figure."""
    lines, names = panel.get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=5, fontsize=8)


def line(panel: Axes, x: Tensor | Sequence[float], y: Tensor | Sequence[float], name: str, place: int) -> None:
    """A line whose colour and stroke tell it apart."""
    panel.plot(np.asarray(x), np.asarray(y), STROKES[place % 4], color=ARMS[place], label=name, linewidth=1.8)


def slope(curve: Curve, x: Tensor) -> Tensor:
    """The derivative of an elementwise `curve` at `x`, by autograd."""
    leaf = x.clone().requires_grad_()
    curve(leaf).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


def clipped_surrogate() -> Figure:
    """Objective and gradient against the ratio, for a good and a bad token."""
    axes = {"PPO, GRPO": grpo().options, "DAPO": dapo().options, "PPO, dual_clip: 3": ppo(dual_clip=3.0).options}
    figure, panels = sheet(7.4, 5.2, 2, 2)
    for column, (advantage, start, end) in enumerate([(1.0, 0.5, 1.6), (-1.0, 0.3, 3.6)]):
        log_ratio = torch.linspace(start, end, 881, dtype=torch.float64).log()
        for place, (name, clip) in enumerate(axes.items()):

            def objective(x: Tensor, clip: PolicyGradient = clip, advantage: float = advantage) -> Tensor:
                good = torch.full_like(x, advantage)
                return -losses.clipped_surrogate(x, good, clip.clip_low, clip.clip_high, clip.dual_clip)

            line(panels[column], log_ratio.exp(), objective(log_ratio), name, place)
            line(panels[2 + column], log_ratio.exp(), slope(objective, log_ratio), name, place)
        for panel in (panels[column], panels[2 + column]):
            panel.axvline(1, color=NEUTRAL, linewidth=0.8)
        label(panels[column], f"advantage {advantage:+.0f}", "", "objective")
        label(panels[2 + column], "", "ratio ρ = π / π_old", "gradient: weight of ∇ log π")
    key(figure, panels[0])
    return figure


def group_advantage() -> Figure:
    """Advantages of a correct and of a wrong completion, by the number that are correct."""
    figure, panels = sheet(7.4, 3.2, 2)
    size = 8
    epsilon = grpo().options.advantage_epsilon
    for place, kind in enumerate(("sample_std", "population_std", "mean_only", "leave_one_out")):
        groups = [[1.0] * right + [0.0] * (size - right) for right in range(size + 1)]
        rewards = torch.tensor(groups, dtype=torch.float64).flatten()
        found = group_advantages(rewards, size, kind, epsilon).view(-1, size)
        for panel, counts, member in ((panels[0], range(1, size + 1), 0), (panels[1], range(size), -1)):
            values = [float(found[count, member]) for count in counts]
            line(panel, list(counts), values, kind, place)
            panel.plot(list(counts), values, MARKERS[place], color=ARMS[place], markersize=4)
    label(panels[0], "a correct completion", "correct of 8", "advantage")
    label(panels[1], "a wrong completion", "correct of 8", "")
    key(figure, panels[0])
    return figure


def sequence_ratio() -> Figure:
    """Who is clipped by GRPO and by GSPO after the same made-up update."""
    random = stream("docs", "sequence ratio")
    lengths = torch.tensor([6, 8, 10, 13, 16, 20, 25, 30, 36, 42, 50, 60, 70, 85, 100, 120])
    advantages = torch.tensor([1.0, -1.0] * 8, dtype=torch.float64).unsqueeze(-1)
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(-1)
    moved = torch.from_numpy(random.normal(0, 0.08, mask.shape)) + 0.001 * advantages
    ratios = {"GRPO": (grpo().options, moved), "GSPO": (gspo().options, sequence_log_ratio(moved, mask))}
    figure, panels = sheet(7.4, 3.4, 2)
    for panel, (name, (clip, log_ratio)) in zip(panels, ratios.items(), strict=True):
        spread = advantages.expand_as(log_ratio)
        out = losses.clipped_below(log_ratio, spread, clip.clip_low)
        out |= losses.clipped_above(log_ratio, spread, clip.clip_high, clip.dual_clip)
        panel.axhspan(1 - clip.clip_low, 1 + clip.clip_high, color="#eff2f6")
        each = name == "GRPO"
        for chosen, colour, marker, what in ((~out, ARMS[0], "o", "kept"), (out, ARMS[1], "X", "clipped")):
            seen = chosen & mask if each else chosen & (torch.arange(mask.shape[1]) == 0)
            rows = seen.nonzero()[:, 0]
            panel.scatter(
                rows + 1, log_ratio[seen].exp(), s=4 if each else 30, c=colour, marker=marker, label=what, linewidths=0
            )
        share = float(out[mask].double().mean() if each else out[:, 0].double().mean())
        label(panel, f"{name}: {share:.1%} of {'tokens' if each else 'sequences'} clipped", "sequence, by length", "")
        panel.ticklabel_format(axis="y", useOffset=False)
    panels[0].set_ylabel("ratio (shaded: clip range)")
    panels[1].set_ylabel("ratio (clip range: 0.9997 to 1.0004)")
    key(figure, panels[1])
    return figure


def kl_estimators() -> Figure:
    """Values and gradients of the three estimators."""
    x = torch.linspace(-2.5, 2.5, 201, dtype=torch.float64)
    figure, panels = sheet(7.4, 3.2, 2)
    for place, (name, estimator) in enumerate(ESTIMATORS.items()):
        line(panels[0], x, estimator(x), name, place)
        line(panels[1], x, slope(estimator, x), name, place)
    for panel in panels:
        panel.set_ylim(-3, 6)
    label(panels[0], "value", "x = log π − log π_SFT", "nats")
    label(panels[1], "gradient with respect to x", "x = log π − log π_SFT", "")
    key(figure, panels[0])
    return figure


def expected_kl_gradient(logits: Tensor, reference: Tensor, axes: PolicyGradient) -> Tensor:
    """Gradient of the penalty on the logits [choices], expected over the choices that the policy would make."""
    leaf = logits.clone().requires_grad_()
    new = torch.log_softmax(leaf, -1).unsqueeze(-1)
    old, plain = new.detach(), torch.log_softmax(reference, -1).unsqueeze(-1)
    mask = torch.ones_like(old, dtype=torch.bool)
    rollouts = Rollouts(mask, old, plain, old[:, 0], ~mask[:, 0], len(logits), 1)
    advantages = -kl_in_reward(rollouts, axes)
    choices = Experience(mask, old.exp(), old, plain, advantages)
    ratio = new - old
    surrogate = losses.clipped_surrogate(ratio, advantages, axes.clip_low, axes.clip_high)
    weighted(surrogate + kl_in_loss(ratio, Prediction(new), choices, axes), choices).backward()
    assert leaf.grad is not None
    return leaf.grad


def kl_gradients() -> Figure:
    """Expected gradient of every estimator in every place, against those of the two divergences."""
    logits = torch.tensor([1.2, 0.3, -0.4, -1.0, 0.6], dtype=torch.float64)
    reference = torch.tensor([0.0, 0.9, 0.2, -0.6, -0.8], dtype=torch.float64)
    here, there = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    categorical_kl(here, reference).backward()
    categorical_kl(reference, there).backward()
    figure, panels = sheet(7.4, 6.2, 3, 3, share_y=True)
    arms = np.arange(5)
    combinations = [(kind, where) for kind in ESTIMATORS for where in ("loss", "loss_times_ratio", "reward")]
    for panel, (kind, where) in zip(panels, combinations, strict=True):
        wanted = {"beta": 1.0, "kl_estimator": kind, "kl_placement": where}
        axes = PolicyGradient.model_construct(**PolicyGradient().model_dump() | wanted)  # refused ones too
        bars = expected_kl_gradient(logits, reference, axes).numpy()
        panel.bar(arms, bars, 0.7, color="#c3cad4", label="expected gradient")
        for leaf, place, name in ((here, 0, "∇KL(π ‖ SFT)"), (there, 1, "∇KL(SFT ‖ π)")):
            panel.plot(arms, leaf.grad, "oX"[place], color=ARMS[place], markersize=5, label=name)
        try:
            grpo(**wanted)
            verdict = ""
        except InputError:
            verdict = " (refused)"
        panel.set_title(f"{kind}, {where}{verdict}", fontsize=8.5, color=MUTED if verdict else INK)
        panel.set_xticks(arms, ["a", "b", "c", "d", "e"])
    key(figure, panels[0])
    return figure


def gae_by_lambda() -> Figure:
    """Advantages of a terminal reward under a made-up critic."""
    tokens = torch.arange(24)
    values = 0.3 + 0.5 * torch.sigmoid((tokens.double() - 14) / 1.5) - 0.25 * torch.exp(-((tokens - 7) ** 2) / 6.0)
    rewards = torch.zeros(24, dtype=torch.float64)
    rewards[-1] = 1.0
    figure, panels = sheet(7.4, 3.2, 2)
    panels[0].step(tokens, rewards, color=NEUTRAL, where="mid", label="reward")
    line(panels[0], tokens, values, "value of the critic", 4)
    panels[0].legend(fontsize=8)
    for place, lam in enumerate((0.0, 0.5, 0.95, 1.0)):
        mask = torch.ones((1, 24), dtype=torch.bool)
        found = gae(rewards.unsqueeze(0), values.unsqueeze(0), mask, 1.0, lam)[0]
        line(panels[1], tokens, found, f"λ = {lam:g}", place)
    label(panels[0], "what is given", "token", "")
    label(panels[1], "advantage", "token", "")
    key(figure, panels[1])
    return figure


def preference_losses() -> Figure:
    """Loss and gradient against the margin, each relative to its value where the policy is the reference."""
    beta = dpo().options.beta
    zero = torch.zeros(1, dtype=torch.float64)
    curves: dict[str, Curve] = {
        "DPO": lambda h: losses.dpo(h, torch.zeros_like(h), beta),
        "cDPO, label_smoothing: 0.2": lambda h: losses.dpo(h, torch.zeros_like(h), beta, 0.2),
        "IPO": lambda h: losses.ipo(h, torch.zeros_like(h), beta),
    }
    margin = torch.linspace(-15, 40, 221, dtype=torch.float64)
    figure, panels = sheet(7.4, 3.2, 2)
    for place, (name, curve) in enumerate(curves.items()):
        line(panels[0], margin, curve(margin) / curve(zero), name, place)
        line(panels[1], margin, slope(curve, margin) / slope(curve, zero).abs(), name, place)
    panels[0].set_ylim(0, 4)
    panels[1].set_ylim(-2.5, 2.5)
    for panel in panels:
        panel.axvline(0, color=NEUTRAL, linewidth=0.8)
    label(panels[0], "loss / loss at 0", "margin h in nats", "")
    label(panels[1], "gradient / |gradient at 0|", "margin h in nats", "")
    key(figure, panels[0])
    return figure


def aggregation() -> Figure:
    """Weights of a token and of its whole completion, by length."""
    lengths = torch.tensor([8, 16, 32, 64, 128, 256])
    mask = torch.arange(256) < lengths.unsqueeze(-1)
    figure, panels = sheet(7.4, 3.2, 2)
    for place, kind in enumerate(("sequence_mean", "token_mean", "constant")):
        weights = aggregation_weights(mask, 256, kind).double()
        line(panels[0], lengths, weights[:, 0], kind, place)
        line(panels[1], lengths, weights.sum(-1), kind, place)
        for panel, values in ((panels[0], weights[:, 0]), (panels[1], weights.sum(-1))):
            panel.plot(lengths, values, MARKERS[place], color=ARMS[place], markersize=4)
    for panel in panels:
        panel.set_xscale("log", base=2)
        panel.set_xticks(lengths.tolist(), [str(length) for length in lengths.tolist()])
    panels[0].set_yscale("log")
    panels[0].minorticks_off()
    panels[0].set_yticks([0.001, 0.01], ["0.001", "0.01"])
    label(panels[0], "weight of one token", "tokens of the completion (limit 256)", "")
    label(panels[1], "weight of the whole completion", "tokens of the completion (limit 256)", "")
    key(figure, panels[0])
    return figure


def overlong() -> Figure:
    """What is taken off the reward of a long completion."""
    limit = 20_480
    lengths = torch.arange(8_192, limit + 1, 64)
    mask = torch.arange(limit) < lengths.unsqueeze(-1)
    blank = torch.zeros(mask.shape)
    rewards, truncated = torch.zeros(len(lengths)), lengths >= limit
    rollouts = Rollouts(mask, blank, blank, rewards, truncated, len(lengths), limit)
    figure, panels = sheet(6.2, 3.1, 1)
    options = {
        "DAPO (overlong_buffer: 0.2)": dapo(),
        "overlong_buffer: 0.5": dapo(overlong_buffer=0.5),
        "missing_eos_penalty: 1": grpo(missing_eos_penalty=1.0),
    }
    for place, (name, algorithm) in enumerate(options.items()):
        line(panels[0], lengths, shaped_rewards(rollouts, algorithm.options), name, place)
    label(panels[0], "", "tokens of the completion (limit 20,480)", "added to the reward")
    ticks = [8_192, 12_288, 16_384, 20_480]
    panels[0].set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    key(figure, panels[0])
    return figure


def trust_region() -> Figure:
    """Natural and plain gradient on a softmax bandit: KL contours, and reward gained for KL spent."""
    old = torch.tensor([1.2, -1.6, 0.0], dtype=torch.float64)
    rewards = torch.tensor([0.5, 1.0, 0.0], dtype=torch.float64)

    def gain(logits: Tensor) -> Tensor:
        return (torch.softmax(logits, -1) - torch.softmax(old, -1)) @ rewards

    def fisher(vector: Tensor) -> Tensor:
        leaf = old.clone().requires_grad_()
        first = torch.autograd.grad(categorical_kl(old, leaf), leaf, create_graph=True)[0]
        return torch.autograd.grad(first @ vector, leaf)[0]

    plain, options = slope(gain, old), trpo().options
    natural = natural_step(plain, fisher, 0.1, options.cg_iterations, 0.0)
    figure, panels = sheet(7.4, 3.7, 2)
    around = torch.linspace(-1.0, 2.6, 121, dtype=torch.float64)
    first, second = torch.meshgrid(around, around, indexing="xy")
    nearby = old + torch.stack([first - 1.0, second, torch.zeros_like(first)], -1)
    drawn = panels[0].contour(
        first - 1.0, second, categorical_kl(old, nearby), [0.01, 0.05, 0.1, 0.2, 0.4], colors=NEUTRAL, linewidths=0.9
    )
    panels[0].clabel(drawn, fontsize=7)
    for place, (name, step) in enumerate({"natural": natural, "plain": plain / plain.norm()}.items()):
        shares = torch.linspace(0, 4, 2001, dtype=torch.float64).unsqueeze(-1)
        spent = categorical_kl(old, old + shares * step)
        kept = spent <= 0.4
        line(panels[1], spent[kept], gain(old + shares * step)[kept], f"{name} gradient", place)
        flat = step - step[2]  # the same policies with the last logit held
        edge = float(shares[spent <= 0.1].max())
        panels[0].annotate(
            "", (float(edge * flat[0]), float(edge * flat[1])), (0, 0),
            arrowprops={"arrowstyle": "->", "color": ARMS[place], "linewidth": 2, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    _, gained, spent_at = backtrack(
        lambda share: (float(gain(old + share * natural)), float(categorical_kl(old, old + share * natural))),
        0.1, options.line_search_steps, options.line_search_factor,
    )  # fmt: skip
    panels[1].plot([spent_at], [gained], "o", color=ARMS[0], label="where TRPO stops at δ = 0.1")
    label(panels[0], "KL(π_old ‖ π) in nats; steps to 0.1", "change of logit a", "change of logit b")
    label(panels[1], "what a nat buys", "KL(π_old ‖ π) in nats", "expected reward gained")
    key(figure, panels[1])
    return figure


def adaptive_kl() -> Figure:
    """The weight of the KL penalty that answers a made-up KL."""
    options = ppo(target_kl=6.0).options
    batches = np.arange(240)
    kl = 6 + 6 * np.sin(batches / 30) - 4 * np.exp(-batches / 25)
    figure, panels = sheet(7.4, 3.2, 2)
    line(panels[0], batches, kl, "KL that was measured (made up)", 4)
    panels[0].axhline(6, color=INK, linewidth=1, label="target_kl: 6")
    for place, completions in enumerate((128, 512)):
        betas = [options.beta]
        for nats in kl[:-1]:
            betas.append(adapted_beta(betas[-1], float(nats), 6.0, options.kl_horizon, completions))
        line(panels[1], batches, betas, f"{completions} completions per batch", place)
    label(panels[0], "KL to the SFT policy", "rollout batch", "nats per completion")
    label(panels[1], "β", "rollout batch", "")
    panels[0].set_ylim(-0.5, 16)
    panels[1].set_ylim(0, 0.052)
    for panel in panels:
        panel.legend(fontsize=8, loc="upper left")
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "clipped_surrogate": clipped_surrogate,
    "group_advantages": group_advantage,
    "sequence_ratio": sequence_ratio,
    "kl_estimators": kl_estimators,
    "kl_gradients": kl_gradients,
    "gae": gae_by_lambda,
    "preference_losses": preference_losses,
    "aggregation": aggregation,
    "overlong_penalty": overlong,
    "trust_region": trust_region,
    "adaptive_kl": adaptive_kl,
}
"""File name without ending -> what draws it."""


def draw(folder: Path, ending: str = "svg") -> list[Path]:
    """Write every figure into `folder`, on white paper, which every page can carry; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    undated = {"Date": None, "Creator": None} if ending == "svg" else {}
    for name, make in FIGURES.items():
        with style():
            make().savefig(folder / f"{name}.{ending}", facecolor="white", metadata=undated, dpi=110)
    return [folder / f"{name}.{ending}" for name in FIGURES]


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "figures"
    print(*draw(where), sep="\n")
