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
        "Exit codes: 0 done; 1 a run failed, the budget audit failed, a trainer differs (conform) or a check failed "
        "(tasks check); "
        "2 wrong usage or input; 3 conform cannot tell."
    ),
)

tasks = typer.Typer(name="tasks", help="Look at tasks and validate them.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(tasks)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="RLBENCH_DATA_DIR", help="Folder with local copies of public data sets."),
]

Tokenizer = Annotated[
    Path | None,
    typer.Option(help="Folder with a tokenizer (a model's) to count tokens with; words are counted without it."),
]


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
    folders: Annotated[list[Path], typer.Argument(help="Score folders, the baseline first.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for comparison.json and the report.")] = None,
) -> None:
    """Compare scored completions pairwise, as these checkpoints; the difference is later minus earlier."""
    from rlbench.cli.score import compare_scores

    compare_scores(folders, out)


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
        print(f"rlbench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
