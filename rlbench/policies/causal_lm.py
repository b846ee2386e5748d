"""A policy: a Hugging Face causal language model with its tokenizer and the tokens that end a completion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlbench.errors import InputError
from rlbench.functional.logprobs import entropy, token_logprobs
from rlbench.policies.device import DtypeName, autocast
from rlbench.records import Chat

TruncationSide = Literal["left", "right"]


@dataclass(frozen=True)
class Policy:
    """A language model on a device. The model stays in evaluation mode: dropout is off in training too."""

    model: Any
    tokenizer: Any
    stop_token_ids: tuple[int, ...]
    device: torch.device
    dtype: DtypeName = "float32"
    max_prompt_tokens: int | None = None
    truncation_side: TruncationSide = "left"

    @property
    def stop_token_id(self) -> int:
        """The token that training data ends with."""
        return self.stop_token_ids[0]

    @property
    def pad_token_id(self) -> int:
        """What fills unused columns; masked everywhere, so any id will do."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else self.stop_token_id

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def check_fit(self, tokens: int, what: str) -> None:
        """Make sure that a sequence of `tokens` fits into the model's context.

        Raises:
            InputError: it does not; `what` says what the sequence is.
        """
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and tokens > limit:
            raise InputError(
                f"{what} needs {tokens} tokens, more than the {limit} that the model can read; shorten the texts, "
                f"lower rollout.max_new_tokens, set rollout.max_prompt_tokens or take another base policy"
            )

    def encode_prompt(self, text: str) -> list[int]:
        """Token ids of a prompt, with the beginning token if the tokenizer adds one and without an end token.

        A `Chat` is written with the tokenizer's chat template, up to where the assistant's answer begins. A prompt of
        more than `max_prompt_tokens` is cut on the truncation side, its beginning token apart.
        """
        ids, limit = self._encode(text), self.max_prompt_tokens
        if limit is None or len(ids) <= limit:
            return ids
        if self.truncation_side == "right":
            return ids[:limit]
        start = ids[:1] if ids[0] == self.tokenizer.bos_token_id else []
        return start + ids[len(ids) - limit + len(start) :]

    def encode_completion(self, prompt: str, completion: str) -> list[int]:
        """Token ids of `completion` as it continues `prompt`, with a stop token at the end."""
        head = self._encode(prompt)
        whole = self._encode(prompt, completion)
        continues = whole[: len(head)] == head
        tail = whole[len(head) :] if continues else self._encode_inside(completion)
        return [*tail, self.stop_token_id]

    def _encode(self, prompt: str, completion: str = "") -> list[int]:
        chat = isinstance(prompt, Chat)
        text = (self._from_template(prompt) if isinstance(prompt, Chat) else prompt) + completion
        ids = list(self.tokenizer(text, add_special_tokens=not chat)["input_ids"])
        if not chat and ids and ids[-1] == self.tokenizer.eos_token_id and not text.endswith(self.tokenizer.eos_token):
            ids.pop()
        if not ids:
            raise InputError(f"the prompt {text!r} has no tokens under this tokenizer; expected at least one")
        return ids

    def _from_template(self, chat: Chat) -> str:
        """The text of the tokenizer's chat template, which writes special tokens itself."""
        if not self.tokenizer.chat_template:
            raise InputError(
                "the task's prompt is a list of chat messages, but the policy's tokenizer has no chat template; take a "
                "policy that is tuned for chat, or write the prompt as a text"
            )
        messages = [{"role": message.role, "content": message.content} for message in chat.messages]
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # a template is a program of somebody else's
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"the policy's chat template cannot write {', '.join(each.role for each in chat.messages)}: "
                f"{reason}; change the roles in the task's prompt"
            ) from error

    def _encode_inside(self, text: str) -> list[int]:
        """Token ids of `text` inside a longer one: tokenizers that put a space before a text must not do it here."""
        start, whole = (self.tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in ("\n", "\n" + text))
        if whole[: len(start)] == start:
            return list(whole[len(start) :])
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of a completion's tokens, special tokens left out."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def logits(self, input_ids: Tensor, attention_mask: Tensor, columns: int) -> Tensor:
        """Logits that predict the last `columns` columns of `input_ids` [B, L]: [B, columns, vocabulary]."""
        with autocast(self.device, self.dtype):
            output = self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=positions(attention_mask),
                logits_to_keep=columns + 1,
                use_cache=False,
            )
        return output.logits[:, -columns - 1 : -1]  # type: ignore[no-any-return]

    def logprobs(self, input_ids: Tensor, attention_mask: Tensor, columns: int, temperature: float = 1.0) -> Tensor:
        """Log-probabilities in nats of the last `columns` tokens of `input_ids` [B, L]: [B, columns]."""
        logits = self.logits(input_ids, attention_mask, columns)
        return token_logprobs(logits, input_ids[:, -columns:], temperature)

    def logprobs_and_entropy(
        self, input_ids: Tensor, attention_mask: Tensor, columns: int, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Like `logprobs`, with the entropy in nats of the distribution of each token, both [B, columns]."""
        logits = self.logits(input_ids, attention_mask, columns)
        return token_logprobs(logits, input_ids[:, -columns:], temperature), entropy(logits, temperature)

    def save(self, folder: Path) -> None:
        """Write a folder that `AutoModelForCausalLM` and `AutoTokenizer` load."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.generation_config.eos_token_id = list(self.stop_token_ids)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def positions(attention_mask: Tensor) -> Tensor:
    """Position ids [B, L] that count real tokens only, so that left padding does not shift a sequence."""
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


def load_policy(
    source: str | Path,
    device: torch.device,
    dtype: DtypeName = "float32",
    stop_token_ids: Sequence[int] | None = None,
    revision: str | None = None,
    max_prompt_tokens: int | None = None,
    truncation_side: TruncationSide = "left",
) -> Policy:
    """Load a policy from a folder or, given a string that is no folder, from the Hugging Face hub.

    Args:
        source: folder with safetensors weights, or hub id.
        device: where the weights go; they are kept in float32.
        dtype: precision of forward passes.
        stop_token_ids: tokens that end a completion; by default those of the model's generation config.
        revision: commit of the hub repository.
        max_prompt_tokens: longer prompts are cut; None: they are not.
        truncation_side: where they are cut.

    Raises:
        InputError: nothing loadable is there, or no stop token is known.
    """
    where = {"revision": revision} if revision else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False, **where)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
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
            f"policy {str(source)!r} cannot be loaded: {first}; expected a folder (or hub id) with config.json, "
            f"*.safetensors and a tokenizer"
        ) from error
    model, report = loaded
    if report["missing_keys"]:  # transformers would fill them with random numbers
        missing = sorted(report["missing_keys"])
        raise InputError(
            f"policy {str(source)!r}: its *.safetensors lack {len(missing)} of the weights that config.json asks for, "
            f"{missing[0]} for example; expected all of them"
        )
    stops = tuple(stop_token_ids or _default_stops(model, tokenizer))
    if not stops:
        raise InputError(
            f"policy {str(source)!r} names no end-of-sequence token; set base_policy.stop_token_ids in the experiment"
        )
    outside = [stop for stop in stops if not 0 <= stop < model.config.vocab_size]
    if outside:
        raise InputError(
            f"stop token ids {outside} of policy {str(source)!r} are outside its vocabulary of "
            f"{model.config.vocab_size} tokens"
        )
    return Policy(model.to(device).eval(), tokenizer, stops, device, dtype, max_prompt_tokens, truncation_side)


def _default_stops(model: Any, tokenizer: Any) -> list[int]:
    declared = model.generation_config.eos_token_id
    if declared is None:
        declared = tokenizer.eos_token_id
    if declared is None:
        return []
    return [declared] if isinstance(declared, int) else list(declared)
