"""A reward model: a sequence classifier whose output says how good a completion of a prompt is.

A decoder has a scalar head on the last token that is no padding (Ouyang et al. 2022, arXiv:2203.02155, section 3.5;
its loss is `functional.losses.bradley_terry`); an encoder goes through the forward pass of its own class.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rlbench.errors import InputError
from rlbench.policies.causal_lm import Policy, positions
from rlbench.policies.device import DtypeName, autocast
from rlbench.records import Chat

OFFSET = "reward_offset"
"""Key of config.json: what is subtracted from every reward, so that those of SFT samples have the mean 0."""
WIDTH = 16
"""Texts that are judged are padded to a multiple of this many tokens, so that few shapes occur ..."""
BATCH = 16
"""... and put into batches of this many, unless another number is asked for."""


@dataclass(frozen=True)
class Encoded:
    """A prompt with its completion as a model reads it; `segments` (0 and 1) where it tells the two texts apart."""

    ids: list[int]
    segments: list[int] | None = None


@dataclass(frozen=True)
class RewardModel:
    """A sequence classifier on a device. It stays in evaluation mode: dropout is off in training too."""

    model: Any
    tokenizer: Any
    device: torch.device
    dtype: DtypeName = "float32"
    label: int | None = None
    """The output that is the reward, of several."""

    @property
    def offset(self) -> float:
        """What is subtracted from the head's output."""
        return float(getattr(self.model.config, OFFSET, 0.0))

    @property
    def is_decoder(self) -> bool:
        """Whether the reward is a linear layer on the last token."""
        return hasattr(self.model, "score")

    @property
    def context(self) -> int | None:
        """The longest sequence in tokens that it can read; None: any."""
        config = self.model.config.get_text_config()
        known = [getattr(config, "max_position_embeddings", None), self.tokenizer.model_max_length]
        limits = [int(limit) for limit in known if limit is not None and limit < 1e9]
        return min(limits, default=None)

    def encode(self, prompt: str, completion: str) -> Encoded:
        """Token ids of a prompt with its completion.

        A decoder reads the text of both and then the end token; a `Chat` goes through the chat template if the
        tokenizer has one, which ends the completion in its own way. An encoder reads them as a pair of texts. What is
        longer than the model's context loses the beginning of the prompt (a decoder keeps its beginning token), and
        that of the completion once nothing of the prompt is left.
        """
        return (
            Encoded(self._encode_text(prompt, completion)) if self.is_decoder else self._encode_pair(prompt, completion)
        )

    def _encode_text(self, prompt: str, completion: str) -> list[int]:
        tokenizer, limit = self.tokenizer, self.context
        if isinstance(prompt, Chat) and tokenizer.chat_template:
            messages = [{"role": each.role, "content": each.content} for each in prompt.messages]
            messages.append({"role": "assistant", "content": completion})
            ids = list(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False))
        else:
            ids = list(tokenizer(prompt + completion, verbose=False)["input_ids"])  # what is too long is cut below
            end = tokenizer.eos_token_id
            if end is not None and ids[-1:] != [end]:
                ids.append(end)
        if limit is None or len(ids) <= limit:
            return ids
        start = ids[:1] if ids[0] == tokenizer.bos_token_id else []
        return start + ids[len(ids) - limit + len(start) :]

    def _encode_pair(self, prompt: str, completion: str) -> Encoded:
        tokenizer, limit = self.tokenizer, self.context
        cut: dict[str, Any] = {}
        if limit is not None:
            taken = len(tokenizer(completion, add_special_tokens=False, verbose=False)["input_ids"])
            room = limit - taken - tokenizer.num_special_tokens_to_add(pair=True)
            cut = {"truncation": "only_first" if room > 0 else "longest_first", "max_length": limit}
        found = tokenizer(prompt, completion, **cut)
        return Encoded(list(found["input_ids"]), found.get("token_type_ids"))

    def scores(self, input_ids: Tensor, attention_mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """Reward [B] of every sequence of `input_ids` [B, L]; a decoder's padding may stand on either side."""
        with autocast(self.device, self.dtype):
            if self.is_decoder:
                found = self._last_token(input_ids, attention_mask)
            else:
                more = {} if segments is None else {"token_type_ids": segments}
                found = self.model(input_ids=input_ids, attention_mask=attention_mask, **more).logits
        return self._reward(found.float()) - self.offset

    def _last_token(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Outputs [B, labels] of the head on the last token that is no padding."""
        output = self.model.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=positions(attention_mask),
            use_cache=False,
        )
        columns = torch.arange(input_ids.shape[1], device=input_ids.device)
        last = (columns * attention_mask).argmax(-1)
        rows = torch.arange(len(input_ids), device=input_ids.device)
        found: Tensor = self.model.score(output.last_hidden_state[rows, last])
        return found

    def _reward(self, logits: Tensor) -> Tensor:
        """The only output, or the log odds of the label against all others: [B]."""
        if self.label is None:
            return logits.squeeze(-1)
        own = logits[:, self.label]
        if self.model.config.problem_type == "multi_label_classification":  # each label is decided on its own
            return own
        others = torch.cat([logits[:, : self.label], logits[:, self.label + 1 :]], dim=-1)
        return own - others.logsumexp(-1)

    def read(self, sequences: Sequence[Encoded], width: int | None = None) -> Tensor:
        """Reward [B] of encoded texts, padded on the right to the longest or to `width` tokens."""
        longest = max(len(sequence.ids) for sequence in sequences)
        pad = self.tokenizer.pad_token_id or 0  # it is masked, so any id will do

        def stack(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
            first = torch.full((max(longest, width or 0),), fill, dtype=torch.long)  # sets the width
            padded = pad_sequence([first, *(torch.tensor(row) for row in rows)], batch_first=True, padding_value=fill)
            return padded[1:].to(self.device)

        mask = stack([[1] * len(sequence.ids) for sequence in sequences], 0)
        segments = [sequence.segments for sequence in sequences if sequence.segments is not None]
        return self.scores(stack([each.ids for each in sequences], pad), mask, stack(segments, 0) if segments else None)

    @torch.no_grad()
    def rewards(self, texts: Sequence[tuple[str, str]], batch_size: int = BATCH) -> list[float]:
        """Reward of every (prompt, completion).

        A text's reward does not depend on what is judged beside it: all batches have `batch_size` rows (the last one
        is filled up), and how wide they are follows from the length of the texts in it.
        """
        encoded = [self.encode(*text) for text in texts]
        by_width: dict[int, list[int]] = {}
        for index, sequence in enumerate(encoded):
            by_width.setdefault(-(-len(sequence.ids) // WIDTH) * WIDTH, []).append(index)
        found = [math.nan] * len(texts)
        for width, indices in sorted(by_width.items()):
            for start in range(0, len(indices), batch_size):
                rows = indices[start : start + batch_size]
                filled = [*rows, *rows[:1] * (batch_size - len(rows))]
                limit = width if self.context is None else min(width, self.context)
                values = self.read([encoded[row] for row in filled], limit).tolist()
                for row, value in zip(rows, values, strict=False):
                    found[row] = value
        return found

    def centre(self, texts: Sequence[tuple[str, str]]) -> None:
        """Make the mean reward of these (prompt, completion) texts 0."""
        found = self.rewards(texts)
        setattr(self.model.config, OFFSET, self.offset + sum(found) / len(found))

    def save(self, folder: Path) -> None:
        """Write a folder that `AutoModelForSequenceClassification` and `AutoTokenizer` load."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def build_reward_model(policy: Policy, seed: int) -> RewardModel:
    """Copy a policy's backbone and put a scalar head in the place of its vocabulary.

    The head's weights are normal with standard deviation 1/√(hidden size + 1) (Stiennon et al. 2020, arXiv:2009.01325,
    appendix B.1; Huang et al. 2024, arXiv:2403.17031).

    Args:
        policy: a decoder; it is not changed.
        seed: of the head.

    Raises:
        InputError: transformers has no sequence classifier for the policy's architecture, or it has no head `score`.
    """
    tokenizer = copy.deepcopy(policy.tokenizer)
    tokenizer.pad_token_id = _padding(policy)
    config = copy.deepcopy(policy.model.config)
    config.num_labels = 1
    config.pad_token_id = tokenizer.pad_token_id
    kind = config.model_type
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = AutoModelForSequenceClassification.from_config(config)
        except ValueError as error:
            raise InputError(
                f"a reward model cannot be built from a policy of type {kind!r}: transformers has no sequence "
                f"classifier for it; name a trained one instead (options paths or hub of the grader reward_model)"
            ) from error
        if not hasattr(model, "score"):
            raise InputError(
                f"a reward model cannot be built from a policy of type {kind!r}: its classifier has no linear layer "
                f"called 'score' on the last token; name a trained one instead (options paths or hub of reward_model)"
            )
        nn.init.normal_(model.score.weight, std=(model.score.in_features + 1) ** -0.5)
    model.base_model.load_state_dict(policy.model.base_model.state_dict())
    return RewardModel(model.float().to(policy.device).eval(), tokenizer, policy.device, policy.dtype)


def _padding(policy: Policy) -> int:
    """A token for padding that never ends a text: classifiers of transformers look for the last token that is none."""
    tokenizer = policy.tokenizer
    ends = {tokenizer.eos_token_id, *policy.stop_token_ids}
    known = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id)
    return next((int(token) for token in known if token is not None and token not in ends), policy.pad_token_id)


def load_reward_model(
    source: str | Path,
    device: torch.device,
    dtype: DtypeName = "float32",
    revision: str | None = None,
    label: str | int | None = None,
) -> RewardModel:
    """Load a folder (or hub id) that `AutoModelForSequenceClassification` reads.

    Args:
        source: folder with safetensors weights, or hub id.
        device: where the weights go; they are kept in float32.
        dtype: precision of forward passes.
        revision: commit of the hub repository.
        label: of a classifier with several outputs, the name or number of that whose log odds are the reward.

    Raises:
        InputError: nothing loadable is there, weights are missing, or it is not said which output is the reward.
    """
    where = {"revision": revision} if revision else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False, truncation_side="left", **where)
        loaded: Any = AutoModelForSequenceClassification.from_pretrained(
            str(source),
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **where,
        )
    except Exception as error:  # the libraries below raise errors of many types on damaged files
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"reward model {str(source)!r} cannot be loaded: {first}; expected a folder (or hub id) with config.json, "
            f"*.safetensors and a tokenizer"
        ) from error
    model, report = loaded
    if report["missing_keys"]:  # transformers would fill them with random numbers
        missing = sorted(report["missing_keys"])
        raise InputError(
            f"reward model {str(source)!r}: its *.safetensors lack {missing[0]} and {len(missing) - 1} more of the "
            f"weights that it needs; expected a trained reward model, not a language model"
        )
    return RewardModel(model.to(device).eval(), tokenizer, device, dtype, _output(str(source), model.config, label))


def _output(source: str, config: Any, label: str | int | None) -> int | None:
    """The number of the output that is the reward; None where there is only one."""
    names = {int(number): str(name) for number, name in config.id2label.items()}
    if config.num_labels == 1:
        if label is not None:
            raise InputError(f"reward model {source!r} has one output, which is the reward; leave label out")
        return None
    known = ", ".join(f"{number} ({name})" for number, name in sorted(names.items()))
    if label is None:
        raise InputError(
            f"reward model {source!r} has {config.num_labels} outputs; expected one, or the option label that says "
            f"which of them is the reward: {known}"
        )
    for number, name in names.items():
        if label in (number, name):
            return number
    raise InputError(f"reward model {source!r} has no label {label!r}; expected one of {known}")
