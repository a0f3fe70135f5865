"""A smaller vocabulary: the word pieces that the texts need, cut from a larger one.

Of a small model the embedding is a large part, and half of BERT's 30,522 pieces are in no text. A
word whose piece is cut is spelled with shorter ones.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

FIRST_WORD = 999  # "!": what comes before it in BERT's uncased vocabulary is special or unused


def smaller(tokenizer: Any, texts: Sequence[str], size: int) -> Any:
    """A tokenizer of at most ``size`` pieces of ``tokenizer``'s, a fast one of transformers.

    Kept are the pieces before `FIRST_WORD`, under their numbers, the single characters of ASCII
    and, of the rest, those that are most frequent in ``texts``.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    pieces = state["model"]["vocab"]
    seen = Counter(i for ids in tokenizer(list(texts))["input_ids"] for i in ids)

    def rank(piece: str) -> tuple[bool, bool, int, int]:
        number, letters = pieces[piece], piece.removeprefix("##")
        spells = len(letters) == 1 and letters.isascii()
        return number >= FIRST_WORD, not spells, -seen[number], number

    kept = sorted(sorted(pieces, key=rank)[:size], key=pieces.__getitem__)
    state["model"]["vocab"] = {piece: i for i, piece in enumerate(kept)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)), **tokenizer.special_tokens_map
    )


def numbers_in(larger: Any, tokenizer: Any) -> list[int] | None:
    """Of each piece of ``tokenizer``, in order, the number that it has in ``larger``; None where
    it has a piece that ``larger`` does not know."""
    known, pieces = larger.get_vocab(), tokenizer.get_vocab()
    if not pieces.keys() <= known.keys():
        return None
    return [known[piece] for piece in sorted(pieces, key=pieces.__getitem__)]
