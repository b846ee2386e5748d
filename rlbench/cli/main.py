"""The `rlbench` command. Heavy libraries are imported inside the commands that need them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(
    name="rlbench",
    help="Matched RL post-training shoot-outs with honest statistics.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 1 a run failed or the budget audit failed; 2 wrong usage or input.",
)

DataDir = Annotated[
    Optional[Path],  # noqa: UP045 typer reads this form on every supported Python
    typer.Option("--data-dir", envvar="RLBENCH_DATA_DIR", help="Folder with local copies of public data sets."),
]
