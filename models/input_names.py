"""What toolchains call the inputs of a text classifier."""

from __future__ import annotations

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
# By what an input is, its names: transformers' and optimum's first, then those of TensorFlow's
# models and of MediaPipe's metadata.
NAMES = {
    IDS: ("input_ids", "input_word_ids", "ids", "word_ids", "token_ids", "input_tokens"),
    MASK: ("attention_mask", "input_mask", "mask", "attn_mask", "padding_mask"),
    TYPES: ("token_type_ids", "input_type_ids", "segment_ids", "type_ids", "types"),
}
_MEANINGS = {name: what for what, names in NAMES.items() for name in names}


def bare(name: str) -> str:
    """Return a name without what TensorFlow puts around it: ``serving_default_NAME:0``."""
    return name.rpartition("serving_default_")[2].rpartition("/")[2].split(":")[0]


def meaning(name: str) -> str | None:
    """Return what an input is, by its name: a key of `NAMES`; None if the name does not tell."""
    return _MEANINGS.get(bare(name).lower())
