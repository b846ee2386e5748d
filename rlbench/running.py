"""Runs an experiment: makes what is missing, resumes what was interrupted, audits, publishes the report."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rlbench.artifacts.call import Call
from rlbench.artifacts.files import explain_disk_errors, make_folder, read_json
from rlbench.artifacts.identity import Identity, Place
from rlbench.artifacts.locking import lock
from rlbench.artifacts.run_folder import ERROR, EXPERIMENT, LOCK, OUTCOME, PARTS, warn
from rlbench.artifacts.sealing import MANIFEST, SEAL
from rlbench.errors import CorruptArtifact, DiskFull, InputError
from rlbench.execution.local import default_workers, execute
from rlbench.execution.worker import Report
from rlbench.experiment import Plan, Run
from rlbench.policies.location import model_files
from rlbench.spec import dump_experiment

MINIMUM_FREE_BYTES = 64 * 2**20
PUBLISHED = "report"


@dataclass
class Finished:
    """What `rlbench run` did."""

    comparison: Mapping[str, Any]
    report: Path
    made: int
    failed: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if every run completed and the audit passed, else 1."""
        complete = all(run["status"] == "completed" for run in self.comparison["runs"])
        matched = all(row["match"] for row in self.comparison["fingerprints"])
        return 0 if complete and matched and self.comparison["budget"]["passed"] else 1


class Execution:
    """One `rlbench run` on one folder."""

    def __init__(self, plan: Plan, workers: int | None) -> None:
        self.plan = plan
        self.folder = plan.folder
        self.workers = workers or default_workers(plan.experiment.device)
        self.crashes: dict[Place, str] = {}
        self.made = 0

    def run(self) -> Finished:
        """Make everything that is missing.

        Raises:
            Busy: another run works on the folder.
            DiskFull: no space is left; what is finished is kept.
            InputError: a shared part could not be made because of the user's input.
        """
        root = self.folder.root
        with explain_disk_errors(root):
            make_folder(root)
            with lock(root / LOCK, wait_seconds=1.0):  # `status` holds it for a moment
                self._check_space()
                _replace(root / EXPERIMENT, dump_experiment(self.plan.experiment))
                self._write_parts(self.plan.expected())
                training = list(self.plan.training())
                self._make(training)
                outcomes = self._outcomes()
                evaluation = list(self.plan.evaluation(outcomes))
                self._make(evaluation)
                comparison = self.plan.compare(outcomes)
                report = self.plan.report(comparison)
                self._make([comparison, report])
                parts = [*training, *evaluation, comparison, report]
                self._write_parts(parts)
                self._clean(parts)
                published = _publish(self.folder.path(report), root / PUBLISHED)
                content = read_json(self.folder.path(comparison) / "comparison.json")
        return Finished(content, published, self.made)

    def _write_parts(self, identities: list[Identity]) -> None:
        """Write down what the experiment consists of, for `rlbench status`."""
        parts = {part.place.folder: [part.stage, part.name, part.fingerprint] for part in identities}
        lines = ",\n".join(json.dumps(part) for part in parts.values())
        _replace(self.folder.root / PARTS, f"[\n{lines}\n]\n")

    def _check_space(self) -> None:
        """Stop before the start rather than in the middle: every run keeps a model, and checkpoints while it trains."""
        missing = [run for run in self.plan.runs() if not self.folder.is_sealed(self.plan.train(run))]
        base = self.plan.resolved.base_path
        model_bytes = sum(path.stat().st_size for path in model_files(base)) if base else 0
        # A checkpoint holds weights and two moments; two are kept and a third is being written.
        needed = MINIMUM_FREE_BYTES + model_bytes * (len(missing) + 9 * min(self.workers, len(missing)))
        free = shutil.disk_usage(self.folder.root).free
        if free < needed:
            raise DiskFull(
                f"{self.folder.root}: only {free // 2**20} MiB are free, expected at least {needed // 2**20} MiB; "
                f"free some space and run the same command again"
            )

    def _verify(self, identity: Identity) -> None:
        """Put a damaged result into quarantine, so that it is made again."""
        if not self.folder.is_sealed(identity):
            return
        try:
            self.folder.check(identity.place)
        except CorruptArtifact as error:
            place = self.folder.quarantine(self.folder.path(identity))
            warn(f"DAMAGED RESULT: {error}\nrlbench: moved to {place}; it is made again")

    def _make(self, identities: list[Identity]) -> None:
        for identity in identities:
            self._verify(identity)
        missing = [made for made in identities if not self.folder.is_sealed(made)]
        if not missing:
            return
        problems: dict[Place, Report] = {}
        with tqdm(total=len(missing), unit="part", disable=not sys.stderr.isatty(), leave=False) as bar:

            def on_end(call: Call, report: Report) -> None:
                bar.set_postfix_str(f"{call.identity.stage} {call.identity.name}", refresh=False)
                bar.update()
                if report.kind == "done":
                    self.made += 1
                    if bar.disable:
                        print(f"{call.identity.stage:8} {call.identity.name}", file=sys.stderr, flush=True)
                else:
                    problems[call.identity.place] = report
                    if report.kind != "disk":
                        warn(f"{call.identity.stage} {call.identity.name} failed: {report.message}")
                        call.note_failure(report.message)

            execute([self.plan.call(made) for made in missing], self.workers, on_end)
        self._judge(missing, problems)

    def _judge(self, missing: list[Identity], problems: Mapping[Place, Report]) -> None:
        """A failed training run is an outcome; whatever else failed stops the experiment."""
        for report in problems.values():
            if report.kind == "disk":
                raise DiskFull(report.message)
        for identity in missing:
            problem = problems.get(identity.place)
            if problem is None:
                continue
            if identity.stage == "train":
                self.crashes[identity.place] = problem.message
                continue
            raise InputError(
                f"{identity.stage} {identity.name} could not be made: {problem.message}. Everything finished so far "
                f"is kept in {self.folder.root}; run the same command again once the cause is removed"
                + (f" (details: {self.folder.partial(identity) / ERROR})" if problem.kind == "crash" else "")
            )

    def _outcomes(self) -> dict[Run, dict[str, Any]]:
        outcomes: dict[Run, dict[str, Any]] = {}
        for run in self.plan.runs():
            identity = self.plan.train(run)
            if self.folder.is_sealed(identity):
                recorded = read_json(self.folder.path(identity) / OUTCOME)
                outcomes[run] = {key: recorded[key] for key in ("status", "detail", "step")}
            else:
                detail = self.crashes.get(identity.place, "it was not run")
                outcomes[run] = {"status": "failed", "detail": detail, "step": None}
        return outcomes

    def _clean(self, finished: list[Identity]) -> None:
        """Drop leftovers of work that is finished (a crash between the last rename and the clean-up leaves them)."""
        for identity in finished:
            partial = self.folder.partial(identity)
            if partial.exists() and self.folder.is_sealed(identity):
                shutil.rmtree(partial)


def _replace(path: Path, text: str) -> None:
    """Write a small file that is not sealed, atomically."""
    if path.is_file() and path.read_bytes() == text.encode():
        return
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(text.encode())
    draft.replace(path)


def _publish(sealed: Path, target: Path) -> Path:
    """Copy the newest sealed report to the plain place where people look for it; return the page."""
    kept = set()
    for source in sorted(sealed.rglob("*")):
        if source.is_file() and source.name not in (MANIFEST, SEAL):
            place = target / source.relative_to(sealed)
            place.parent.mkdir(parents=True, exist_ok=True)
            _replace(place, source.read_text(encoding="utf-8"))
            kept.add(place)
    for old in (target / "figures").glob("*"):
        if old not in kept:  # an earlier report had another figure
            old.unlink()
    return target / "index.html"
