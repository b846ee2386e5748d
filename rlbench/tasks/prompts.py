"""Prompts: their templates, filled with a row, and compared."""

from __future__ import annotations

import hashlib
from typing import Any

from rlbench.errors import InputError
from rlbench.records import Chat, Message
from rlbench.tasks.rows import Row
from rlbench.tasks.template import check_template, fields_of, fill

ROLES = ("system", "user", "assistant")


def check_prompt(value: object) -> str | tuple[Message, ...]:
    """Return the template of a prompt: a text, or the messages of a chat that ends with the user's.

    Raises:
        ValueError: it is neither, or names no field of the data.
    """
    if isinstance(value, str):
        messages = None
        templates = [check_template(value)]
    elif isinstance(value, list) and value:
        messages = tuple(_message(number, item) for number, item in enumerate(value, 1))
        templates = [message.content for message in messages]
        if messages[-1].role != "user":
            raise ValueError(f"the last message is the {messages[-1].role}'s; expected the user's, which is answered")
    else:
        raise ValueError(f"expected a text or a list of chat messages, got {type(value).__name__}")
    if not any(fields_of(template) for template in templates):
        raise ValueError("names no field of the data; write {field} where it belongs")
    return messages or templates[0]


def _message(number: int, item: object) -> Message:
    if not (isinstance(item, dict) and set(item) == {"role", "content"} and isinstance(item["content"], str)):
        raise ValueError(f"message {number}: expected {{role: ..., content: ...}} with a text as content")
    if item["role"] not in ROLES:
        raise ValueError(f"message {number}: role is {item['role']!r}; expected one of {', '.join(ROLES)}")
    return Message(item["role"], check_template(item["content"]))


def fill_prompt(template: str | tuple[Message, ...], row: Row) -> str:
    """Return the prompt of a row: a text, or a `Chat` where the template is messages.

    Raises:
        InputError: a field is missing or no text, or the prompt (or one of its messages) is empty.
    """
    if isinstance(template, str):
        prompt = fill(template, row.fields, row.where)
        if not prompt.strip():
            raise InputError(f"{row.where}: the prompt is empty; expected text")
        return prompt
    messages = [Message(each.role, fill(each.content, row.fields, row.where)) for each in template]
    for number, message in enumerate(messages, 1):
        if not message.content.strip():
            raise InputError(f"{row.where}: message {number} of the prompt ({message.role}) is empty; expected text")
    return Chat(messages)


def prompt_content(prompt: str) -> Any:
    """Return a prompt as a JSON value that tells a chat from the same words as one text."""
    return [[each.role, each.content] for each in prompt.messages] if isinstance(prompt, Chat) else prompt


def prompt_hash(prompt: str) -> bytes:
    """Return what two prompts share that differ at most in blanks and in capitals."""
    return hashlib.sha256(" ".join(prompt.split()).casefold().encode()).digest()
