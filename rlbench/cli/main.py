"""The `rlbench` command. Heavy libraries are imported inside the commands that need them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from rlbench.errors import RlbenchError

app = typer.Typer(
    name="rlbench",
    help="Matched RL post-training shoot-outs with honest statistics.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=(
        "Exit codes: 0 done; 1 a run failed, the budget audit failed, a metric regressed (regress), a trainer differs "
        "(conform), a check failed (tasks check) or a cell lies outside its band (calibrate); 2 wrong usage or input; "
        "3 regress or conform cannot tell."
    ),
)

tasks = typer.Typer(name="tasks", help="Look at tasks and validate them.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(tasks)

baselines = typer.Typer(
    name="baseline", help="Keep named baselines for `regress`.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(baselines)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="RLBENCH_DATA_DIR", help="Folder with local copies of public data sets."),
]

Tokenizer = Annotated[
    Path | None,
    typer.Option(help="Folder with a tokenizer (a model's) to count tokens with; words are counted without it."),
]

Store = Annotated[Path, typer.Option(help="Folder of the saved baselines.")]


@app.command()
def run(
    experiment: Annotated[Path, typer.Argument(help="Experiment file (YAML).")],
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; runs/NAME by default.")] = None,
    data_dir: DataDir = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes at a time; one per core (or GPU) by default."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. --set budget.completions=1024."),
    ] = None,
) -> None:
    """Train, sample, score, compare and report whatever is still missing of an experiment. Resume is the default."""
    from rlbench.cli.run import run_experiment

    raise typer.Exit(run_experiment(experiment, out, data_dir, workers, changes or []))


@app.command()
def status(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Show what is done, running, failed and missing in a run, and what it spent."""
    from rlbench.cli.inspect import show_status

    show_status(run)


@app.command()
def verify(run: Annotated[Path, typer.Argument(help="Run folder, or one sealed folder.")]) -> None:
    """Check every byte of a run's sealed folders against their checksums."""
    from rlbench.cli.inspect import verify_run

    verify_run(run)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help='JSON Lines with {"completion": ...} per sample, or with sample_id.')],
    task: Annotated[str, typer.Option(help="Task name or folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; must not hold anything else.")],
    split: Annotated[str, typer.Option(help="Split that the completions answer.")] = "test",
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Metric to compute (repeatable); the task's by default."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Score completions that anybody produced."""
    from rlbench.cli.score import score_file

    score_file(file, task, split, out, metric, data_dir)


@app.command()
def judge(
    file: Annotated[Path, typer.Argument(help="JSON Lines as for `score`, for any of the samples; or a Python file.")],
    task: Annotated[str, typer.Option(help="Task name or folder; it must have unit tests.")],
    split: Annotated[str, typer.Option(help="Split that the completions answer.")] = "test",
    sample: Annotated[str | None, typer.Option(help="Only this sample; needed for a Python file.")] = None,
    cpu_seconds: Annotated[
        float | None, typer.Option(min=0.1, help="What one program may compute; by default what the task says, or 3.")
    ] = None,
    tier: Annotated[
        Literal["A", "B", "C", "D"] | None, typer.Option(help="Sandbox tier; the strongest available by default.")
    ] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Run programs without any confinement. Verdicts say so.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Run completions against a task's unit tests in a sandbox; show verdicts, reasons and what was printed."""
    from rlbench.cli.judge import judge_file

    judge_file(file, task, split, sample, cpu_seconds, tier, unsafe, data_dir)


@app.command()
def compare(
    sources: Annotated[
        list[str],
        typer.Argument(help="Runs, score folders or saved baselines, the baseline first; RUN:ARM is one arm."),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for comparison.json and the report.")] = None,
    estimand: Annotated[
        Literal["checkpoints", "recipe", "population"] | None,
        typer.Option(help="What the claim is about; recipe by default where there are two seeds, else checkpoints."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Metric to compare (repeatable); all common ones by default.")
    ] = None,
    primary: Annotated[
        str | None, typer.Option(help="Metric that claims are made on; the task's primary one by default.")
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option("--margin", metavar="METRIC=NUMBER", help="Smallest difference that matters (repeatable)."),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    replicates: Annotated[int, typer.Option(min=100, help="Of the bootstrap, where prompts are resampled.")] = 10_000,
    slices: Annotated[
        bool, typer.Option("--slices", help="Print the differences by slice of the prompts, too.")
    ] = False,
    store: Store = Path("baselines"),
) -> None:
    """Compare arms pairwise, paired by prompt and seed where they match; the difference is later minus earlier."""
    from rlbench.cli.compare import compare_sources

    compare_sources(sources, out, estimand, metric, primary, margin or [], confidence, replicates, slices, store)


@app.command()
def regress(
    baseline: Annotated[
        str, typer.Option("--baseline", help="Run, RUN:ARM, score folder, or a saved baseline's name.")
    ],
    candidate: Annotated[
        str | None, typer.Option("--candidate", help="The same, of what is new; not needed to print a gate's template.")
    ] = None,
    gate: Annotated[Path | None, typer.Option("--gate", help="Margins per metric (YAML).")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for all of the files below.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="File for JUnit XML.")] = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", help="File for a Markdown summary; $GITHUB_STEP_SUMMARY if that is set.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="File for the result as JSON.")] = None,
    store: Store = Path("baselines"),
) -> None:
    """Judge a candidate against a baseline by declared margins: exit code 0 passed, 1 regressed, 3 cannot tell."""
    from rlbench.cli.regress import regress

    raise typer.Exit(regress(baseline, candidate, gate, out, junit, summary, json, store))


@baselines.command("save")
def save_baseline(
    name: Annotated[str, typer.Argument(help="Name of the baseline.")],
    source: Annotated[str, typer.Argument(help="Run, or RUN:ARM.")],
    store: Store = Path("baselines"),
) -> None:
    """Keep a run's scores as a named baseline, with the noise floor measured between halves of its own seeds."""
    from rlbench.cli.baseline import save

    save(name, source, store)


@baselines.command("show")
def show_baseline(
    name: Annotated[str | None, typer.Argument(help="Name of a baseline; all of them by default.")] = None,
    store: Store = Path("baselines"),
) -> None:
    """Show saved baselines and their noise floors."""
    from rlbench.cli.baseline import show

    show(name, store)


@app.command()
def calibrate(
    runs: Annotated[int, typer.Option(min=100, help="Simulated experiments per cell.")] = 10_000,
    short: Annotated[bool, typer.Option("--short", help="A few cells only.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for calibration.md, its plots and data.")] = Path("docs"),
    experiment: Annotated[
        Path | None,
        typer.Option(
            help="Instead: the run of a real experiment, to split an arm's seeds into two arms again and again."
        ),
    ] = None,
    arm: Annotated[str | None, typer.Option(help="Which arm of the experiment.")] = None,
) -> None:
    """Measure type-I error, coverage and power of every interval and test, on simulated and on real experiments."""
    from rlbench.cli.calibrate import calibrate

    raise typer.Exit(calibrate(runs, short, workers, out, experiment, arm))


@app.command()
def plan(
    pilot: Annotated[str, typer.Argument(help="Run, RUN:ARM or saved baseline to plan from.")],
    effect: Annotated[
        float | None, typer.Option(help="Difference to find, in the metric's unit: 0.03 is 3 points of a share.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Instead: margin of a gate that should pass when nothing changed.")
    ] = None,
    power: Annotated[float, typer.Option(help="How often it should be found, or pass.")] = 0.8,
    estimand: Annotated[Literal["recipe", "population"], typer.Option(help="What the claim will be about.")] = "recipe",
    task: Annotated[str | None, typer.Option(help="Task of the pilot, if it has several.")] = None,
    metric: Annotated[str | None, typer.Option(help="Metric; the task's primary one by default.")] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option("--arm", help="Arm of the pilot: twice for two arms, once for two arms like this one."),
    ] = None,
    comparisons: Annotated[
        int,
        typer.Option(min=1, max=1_000_000, help="Differences that will be tested together; they share the error rate."),
    ] = 1,
    prompts: Annotated[
        int | None, typer.Option(min=2, max=10_000_000, help="Prompts that there are; the pilot's by default.")
    ] = None,
    seconds_per_seed: Annotated[
        float | None, typer.Option(help="To train one seed of all arms; measured in the pilot by default.")
    ] = None,
    seconds_per_completion: Annotated[
        float | None, typer.Option(help="To sample and score one completion of every arm; the same.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Seconds to spend on as much power as possible, not on --power at least cost.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="File for the plan as JSON.")] = None,
    store: Store = Path("baselines"),
) -> None:
    """Say how many seeds, prompts and samples will show an effect, from what a pilot experiment varied."""
    from rlbench.cli.plan import plan

    plan(
        pilot, effect, margin, power, estimand, task, metric, arm or [], comparisons, prompts, seconds_per_seed,
        seconds_per_completion, budget, json, store,
    )  # fmt: skip


@app.command("list")
def list_names(
    kind: Annotated[Literal["tasks", "metrics", "algorithms", "graders", "trainers"], typer.Argument()],
) -> None:
    """List what is installed: tasks, metrics, algorithms, graders or trainers."""
    from rlbench.cli.inspect import list_kind

    list_kind(kind)


@tasks.command("show")
def show_task(
    name: Annotated[str, typer.Argument(help="Task name or folder.")],
    split: Annotated[str | None, typer.Option(help="Split of the examples; test by default.")] = None,
    tokenizer: Tokenizer = None,
    data_dir: DataDir = None,
) -> None:
    """Show what a task is, with three rendered examples and how long they are."""
    from rlbench.cli.tasks import show_task

    show_task(name, split, tokenizer, data_dir)


@tasks.command("check")
def check_tasks(
    names: Annotated[list[str] | None, typer.Argument(help="Task names or folders.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Check every built-in task whose data is on this machine.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Judge every reference, not only some of large splits.")] = False,
    tokenizer: Tokenizer = None,
    data_dir: DataDir = None,
) -> None:
    """Check prompts for overlap, references and wrong answers against the reward and gold, lengths and preferences."""
    from rlbench.cli.tasks import check_tasks

    raise typer.Exit(check_tasks(names or [], everything, full, tokenizer, data_dir))


@app.command()
def conform(
    trainer: Annotated[str, typer.Argument(help="An installed trainer: trl.")],
    algorithm: Annotated[
        str | None,
        typer.Option(help="grpo, gspo, rloo, dpo, reward_model or sft; all of them with its defaults if not given."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Option of the trainer, e.g. --set loss_type=grpo."),
    ] = None,
    ours: Annotated[
        list[str] | None,
        typer.Option("--ours", metavar="KEY=VALUE", help="Option of our algorithm instead of the paper's value."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="File for the same tables as JSON.")] = None,
) -> None:
    """Run an installed trainer's own loss and show, axis by axis, where it differs from our definitions."""
    from rlbench.cli.conform import check_trainer

    raise typer.Exit(check_trainer(trainer, algorithm, changes or [], ours or [], json))


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Show what this machine offers: versions, devices, memory, data, optional extras."""
    from rlbench.cli.doctor import diagnose

    diagnose(data_dir)


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2, never a traceback."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        app()
    except RlbenchError as error:
        from rlbench.rendering.text import visible

        # Names out of a folder may hold escape codes; each line of the message stays a line.
        print("\n".join(map(visible, f"rlbench: {error}".split("\n"))), file=sys.stderr)
        sys.exit(error.exit_code)
