"""Counts tokens as a tokenizer makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rlbench.errors import InputError
from rlbench.records import Chat

Tokens = Callable[[str], int]
"""Counts the tokens of a text, or of a chat as the chat template writes it."""


def token_counter(folder: Path) -> Tokens:
    """Return what counts tokens by the tokenizer in a folder, without beginning and end tokens.

    Raises:
        InputError: there is no tokenizer in the folder.
    """
    from transformers import AutoTokenizer

    if not folder.is_dir():
        raise InputError(f"--tokenizer {folder}: is not a folder; expected one with a tokenizer, such as a model's")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"--tokenizer {folder}: holds no tokenizer that can be loaded ({reason})") from error

    def count(text: str) -> int:
        if isinstance(text, Chat) and tokenizer.chat_template:
            messages = [{"role": each.role, "content": each.content} for each in text.messages]
            text = str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    return count
