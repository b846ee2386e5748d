"""Judges how near a completion is in meaning to its references: BERTScore, through the package `bert-score`.

Every token of one text is matched with the token of the other whose state in an encoder is most similar (cosine).

Columns, of the reference with the highest `f1`:
    precision: mean similarity of the completion's tokens; recall: of the reference's; f1: their harmonic mean. At most
    1. Unrelated texts are often far above 0, which `rescale` makes up for.

An empty completion or reference gives 0 before rescaling. So `bert-score` defines it, but with transformers 5 it fails
on such texts (tokenizers have no `build_inputs_with_special_tokens` any more), so they never reach it. A sample without
references is unscored, and so is a completion when `idf` leaves its tokens, or those of a reference, no weight.

References:
    Zhang et al. (2020), BERTScore, arXiv:1904.09675.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationInfo, field_validator

from rlbench.errors import InputError
from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = ("precision", "recall", "f1")
_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")
_NO_LIMIT = 10**9
"""A tokenizer that knows no longest text says that it is longer than this."""
_POSITIONS = 512
"""Longest text in tokens where the encoder's configuration knows none either."""

Values = tuple[float, ...]
"""Precision, recall and F1."""
Pair = tuple[str, str]
"""A completion and a reference."""


class _Options(Options):
    """`model` is the folder of an encoder, or a hub id with its `revision`; states of `layer` (the last) are compared.

    `idf` weighs tokens by how rare they are among the references of all completions that are judged together, so that
    a value depends on what is judged beside it. `rescale` is a file of baselines (columns LAYER, P, R, F) that become
    0, or the name of one that `bert-score` brings along, such as `en/roberta-large`.
    """

    model: str = Field(min_length=1)
    revision: str | None = None
    layer: int | None = Field(default=None, ge=1)
    idf: bool = False
    rescale: str | None = None
    batch_size: int = Field(default=64, ge=1)

    @field_validator("model")
    @classmethod
    def _exists(cls, value: str) -> str:
        if not Path(value).is_dir() and (value.startswith(("/", ".", "~")) or value.count("/") > 1):
            raise ValueError("expected a folder that exists, or a hub id")
        return value

    @field_validator("revision")
    @classmethod
    def _of_the_hub(cls, value: str | None, read: ValidationInfo) -> str | None:
        if value is not None and Path(read.data.get("model", "")).is_dir():
            raise ValueError("expected none, because model is a folder; a revision is that of a hub id")
        return value

    @field_validator("rescale")
    @classmethod
    def _of_a_layer(cls, value: str | None, read: ValidationInfo) -> str | None:
        if value is not None and read.data.get("layer") is None:
            raise ValueError("expected layer beside it, because every layer has a baseline of its own")
        return value


def bertscore(**options: object) -> Grader:
    """Return the grader of BERTScore. The encoder is loaded once per process, when the first completion is judged.

    Raises:
        InputError: an option is unknown, missing or wrong, a file does not exist, or the package is not installed.
    """
    chosen = read_options("bertscore", _Options, options)
    package = find_spec("bert_score")
    if package is None or package.origin is None:
        raise InputError("grader 'bertscore' needs the package bert-score; pip install 'rlbench[bertscore]'")
    baseline: Values = (0.0, 0.0, 0.0)
    if chosen.rescale is not None:
        baseline = _baseline(chosen.rescale, chosen.layer, Path(package.origin).parent / "rescale_baseline")

    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        pairs = dict.fromkeys(
            (candidate.completion, reference)
            for candidate in candidates
            for reference in candidate.sample.references
            if candidate.completion.strip() and reference.strip()
        )
        found: dict[Pair, Values] = {}
        if pairs:
            found = _encoder(chosen.model, chosen.revision, chosen.layer).scores(
                list(pairs), chosen.idf, chosen.batch_size
            )
        return [_judge(candidate, found, baseline) for candidate in candidates]

    return Grader(
        name="bertscore",
        version=1,
        columns=COLUMNS,
        grade=grade,
        description="BERTScore against the best reference: how near in meaning, by an encoder",
        options=chosen.model_dump(),
    )


def _judge(candidate: Candidate, found: Mapping[Pair, Values], baseline: Values) -> Judgement:
    references = candidate.sample.references
    if not references:
        return Unscored("the sample has no references")
    rows = [found.get((candidate.completion, reference), (0.0, 0.0, 0.0)) for reference in references]
    if not all(math.isfinite(value) for row in rows for value in row):
        return Unscored("idf leaves no token a weight: too few references were judged together")
    best = max(rows, key=lambda row: row[2])
    values = [(value - zero) / (1.0 - zero) for value, zero in zip(best, baseline, strict=True)]
    return Scored(dict(zip(COLUMNS, values, strict=True)))


def _baseline(rescale: str, layer: int | None, shipped: Path) -> Values:
    """Read the values of unrelated texts at a layer."""
    file = Path(rescale) if Path(rescale).is_file() else shipped / f"{rescale}.tsv"
    if not file.is_file():
        raise InputError(
            f"grader 'bertscore': option 'rescale': expected a file or the name of one in {shipped}, such as "
            f"en/roberta-large (got {rescale!r})"
        )
    try:
        with file.open(encoding="utf-8") as lines:
            rows = {int(row["LAYER"]): tuple(float(row[key]) for key in "PRF") for row in csv.DictReader(lines)}
        return rows[layer or 0]
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"grader 'bertscore': {file}: expected numbers in columns LAYER,P,R,F and a row of layer {layer} ({error})"
        ) from error


@cache
def _encoder(model: str, revision: str | None, layer: int | None) -> _Encoder:
    folder = Path(model) if Path(model).is_dir() else _download(model, revision)
    try:
        return _Encoder(folder.absolute(), layer)
    except (OSError, ValueError, AssertionError, AttributeError, KeyError, ImportError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"grader 'bertscore': the encoder {model!r} cannot be loaded: {first}; expected a folder (or hub id) with "
            f"config.json, safetensors weights and a tokenizer that bert-score knows how to cut after layer {layer}"
        ) from error


def _download(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(_FILES)))
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"grader 'bertscore': option 'model': {model!r} is no folder and cannot be fetched from the hub: {first}"
        ) from error


class _Encoder:
    """An encoder that ends after a layer (the last if None), with its tokenizer."""

    def __init__(self, folder: Path, layer: int | None) -> None:
        from bert_score.utils import get_model, get_tokenizer
        from transformers import AutoConfig

        from rlbench.policies.device import resolve_device

        config = AutoConfig.from_pretrained(folder)
        # bert-score takes every name with "t5" in it for a T5, and would give another encoder random weights.
        if ("t5" in str(folder)) != ("t5" in config.model_type):
            raise ValueError(
                f"the name of a folder holds 't5' exactly if its model is a T5 (this is {config.model_type})"
            )
        self.device = resolve_device("auto")
        self.model = get_model(str(folder), layer or config.num_hidden_layers).to(self.device)
        self.tokenizer = get_tokenizer(str(folder))
        if self.tokenizer.pad_token_id is None:
            raise ValueError("its tokenizer has no padding token")
        # bert-score cuts texts at this length, and the tokenizer cannot compute with one that means "no limit".
        if self.tokenizer.model_max_length > _NO_LIMIT:
            positions = getattr(config, "max_position_embeddings", None) or _POSITIONS
            self.tokenizer.model_max_length = positions - 2  # RoBERTa has two fewer places than positions

    def scores(self, pairs: Sequence[Pair], idf: bool, batch_size: int) -> dict[Pair, Values]:
        """Precision, recall and F1 of every pair; no text may be empty.

        bert-score's own loop judges many pairs at once, in the order of a set: a token that is like none of the other
        text (a negative cosine) is then matched with padding, if a longer pair stands beside it, and rounding differs
        from process to process. One pair at a time, from states in a fixed order, gives what bert-score gives for that
        pair alone.
        """
        import torch
        from bert_score.utils import get_idf_dict, greedy_cos_idf

        references = list(dict.fromkeys(reference for _, reference in pairs))
        if idf:
            weights = get_idf_dict(references, self.tokenizer, nthreads=0)
        else:
            weights = defaultdict(lambda: 1.0, {self.tokenizer.sep_token_id: 0.0, self.tokenizer.cls_token_id: 0.0})
        states = self._states([completion for completion, _ in pairs] + references, weights, batch_size)
        found: dict[Pair, Values] = {}
        for completion, reference in pairs:
            sides = [
                part
                for each, weight in (states[reference], states[completion])
                # It divides what it is given in place.
                for part in (each[None].clone(), torch.ones(1, len(each), dtype=torch.long), weight[None].clone())
            ]
            found[completion, reference] = tuple(float(value) for value in greedy_cos_idf(*sides))
        return found

    def _states(
        self, texts: Sequence[str], weights: Mapping[int, float], batch_size: int
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """State [tokens, width] and weight [tokens] of the tokens of every text, on the CPU."""
        from bert_score.utils import get_bert_embedding

        found: dict[str, tuple[Tensor, Tensor]] = {}
        ordered = sorted(dict.fromkeys(texts), key=len, reverse=True)
        for start in range(0, len(ordered), batch_size):
            batch = ordered[start : start + batch_size]
            states, mask, weight = get_bert_embedding(batch, self.model, self.tokenizer, weights, device=self.device)
            for row, text in enumerate(batch):
                size = int(mask[row].sum())
                found[text] = states[row, :size].cpu(), weight[row, :size].cpu()
        return found
