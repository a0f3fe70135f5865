"""Probes: token ids that ask what texts seldom do, made from the tokenizer alone.

Together they ask every row of the vocabulary, every position, each token type, a text of one token
and the edges of the tokenizer. They are the same at each call and on each machine, so their logits
are recorded with those of the texts (`models.checkpoints.reference_outputs`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

# Pieces that one probe asks; with what frames it, it fits the shortest usual signature. A large
# vocabulary is asked in `MOST` probes of more.
PIECES = 20
MOST = 1600
# Lengths of the probes that ask the positions: multiples of this, as signatures have.
STEP = 8
# Longer probes than this are not made: their time grows with the square of the length.
LONGEST = 512
# What a probe asks.
KINDS = ("piece", "position", "type", "edge")
# Texts at the edges of a tokenizer.
EDGES = (
    "",
    " \t\n ",
    "\u0001\u0007\u200b\ufeff\u0000",
    "\U0001f600\U0001f469\u200d\U0001f4bb \u2764\ufe0f",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u202eabc",
    "\u4f60\u597d \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "e\u0301\u0328 \ufb01 \u00df \u0130 \u01c6",
    "q" * 300,
    "\ud7a3\U000e0041\U00100000",
    "a" + " ,.;!?" * 3,
)
# One that no signature holds: it is cut like any text.
TOO_LONG = "never the same word again, " * 400


@dataclass(frozen=True)
class Probe:
    """One sequence of token ids, with what frames it.

    Attributes:
        asks: one of `KINDS`.
        ids, types: of each token, its id and its token type.
        inner: the ids without those that frame a text.
        text: what the ids are the tokens of; None where no text has them.
    """

    asks: str
    ids: tuple[int, ...]
    types: tuple[int, ...]
    inner: tuple[int, ...]
    text: str | None = None


def probes(tokenizer_file: Path, config: dict[str, Any], positions: int) -> list[Probe]:
    """Return the probes of a checkpoint, the shortest of each kind first.

    Args:
        tokenizer_file: its tokenizer.json.
        config: its config.json, with defaults.
        positions: tokens of the longest text that it reads.
    """
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    opening, closing = frame(tokenizer_file)
    rows = min(tokenizer.get_vocab_size(), config["vocab_size"])
    pieces = [n for n in range(rows) if n != config.get("pad_token_id")]
    longest, around = min(positions, LONGEST), len(opening) + len(closing)

    def framed(asks: str, inner: Sequence[int], types: int = 0) -> Probe:
        kept = tuple(inner)[: longest - around]
        ids = (*opening, *kept, *closing)
        types = min(types, len(ids))
        return Probe(asks, ids, (0,) * (len(ids) - types) + (1,) * types, kept)

    def some(name: str, count: int) -> list[int]:
        return [pieces[_hash(f"{name} {n}") % len(pieces)] for n in range(count)]

    many = min(max(1, -(-len(pieces) // PIECES)), MOST)
    found = [framed("piece", pieces[n::many]) for n in range(many)]
    lengths = [around + 1, *range(STEP, longest + 1, STEP)]
    found += [framed("position", some(f"{n} tokens", n - around)) for n in lengths if n > around]
    if config.get("type_vocab_size", 0) > 1:
        among = some("types", PIECES - around)
        found += [framed("type", among, n) for n in (1, PIECES // 2, PIECES)]
    for text in EDGES:
        ids = tuple(tokenizer.encode(text).ids)
        if len(ids) <= longest:
            inner = ids[len(opening) : len(ids) - len(closing)]
            found.append(Probe("edge", ids, (0,) * len(ids), inner, text))
    return found


def checksum(found: Sequence[Probe]) -> str:
    """SHA-256 of the probes' ids and types: logits are of exactly these."""
    asked = [(probe.ids, probe.types) for probe in found]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def frame(tokenizer_file: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids that a tokenizer puts before and behind a text."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    bare = (tokenizer.encode(text, add_special_tokens=False) for text in ("a", "1", ".", "\u4e00"))
    inner = next(encoding for encoding in bare if encoding.ids)
    framed = tokenizer.post_process(inner)
    start = framed.special_tokens_mask.index(0)
    return tuple(framed.ids[:start]), tuple(framed.ids[start + len(inner.ids) :])


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
