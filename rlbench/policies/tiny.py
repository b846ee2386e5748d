"""Builds a tiny Llama with a character tokenizer, so that a shoot-out can run anywhere in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlbench.policies.causal_lm import Policy

PAD, BEGIN, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"


def character_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per character that occurs in `texts`, in code-point order."""
    characters = sorted({character for text in texts for character in text})
    vocabulary = {token: index for index, token in enumerate([PAD, BEGIN, END, UNKNOWN, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, vocabulary[BEGIN])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,  # "</s>" in a text is four characters, not the end of the sequence
    )


def build_tiny(
    texts: Iterable[str], *, hidden_size: int, layers: int, heads: int, max_positions: int, seed: int
) -> Policy:
    """Build an untrained Llama for the characters of `texts`, on the CPU.

    Args:
        texts: everything the policy should be able to read and write.
        hidden_size: width; the feed-forward part is twice as wide.
        layers: number of transformer blocks.
        heads: attention heads; must divide `hidden_size`.
        max_positions: longest sequence in tokens.
        seed: of the initial weights.
    """
    tokenizer = character_tokenizer(texts)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_positions,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = LlamaForCausalLM(config)
    return Policy(model.eval(), tokenizer, (tokenizer.eos_token_id,), torch.device("cpu"))
