"""Whether prompts are written the way a tokenizer's chat template writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

TemplateUse = Literal["none", "used", "unused", "unknown"]
_MESSAGE = "0"


def template_use(tokenizer: Any, prompts: Iterable[Sequence[int]]) -> TemplateUse:
    """Whether any of the prompts, as token ids, carries the marks of the tokenizer's chat template.

    `none`: there is no template; `unknown`: it has no marks that could be looked for. Its marks are the special tokens
    that its text names, or, where it names none, what it writes around a message. The beginning token is no mark:
    tokenizers add it to any text.
    """
    templates = _texts(tokenizer.chat_template)
    if not templates:
        return "none"
    special = {token.content: int(key) for key, token in tokenizer.added_tokens_decoder.items()}
    usual = {tokenizer.bos_token, tokenizer.unk_token, tokenizer.pad_token}
    marks = {
        key for text, key in special.items() if text not in usual and any(text in template for template in templates)
    }
    if marks:
        return "used" if any(marks.intersection(ids) for ids in prompts) else "unused"
    around = _around_a_message(tokenizer)
    if not around:
        return "unknown"
    texts = (tokenizer.decode(list(ids)) for ids in prompts)
    return "used" if any(piece in text for text in texts for piece in around) else "unused"


def _texts(templates: Any) -> list[str]:
    """A tokenizer has one template, or several by name."""
    if not templates:
        return []
    return [templates] if isinstance(templates, str) else [str(text) for text in dict(templates).values()]


def _around_a_message(tokenizer: Any) -> list[str]:
    """What the template writes before and after a message of the user, without the beginning token."""
    try:
        text = str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": _MESSAGE}], tokenize=False, add_generation_prompt=True
            )
        )
    except Exception:  # a template is a program of somebody else's; one that fails has nothing to look for
        return []
    before, _, after = text.removeprefix(tokenizer.bos_token or "").partition(_MESSAGE)
    return [piece.strip() for piece in (before, after) if piece.strip()]
