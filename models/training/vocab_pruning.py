"""A smaller vocabulary: the pieces that the texts need, cut from a larger one.

Of a small model the embedding is a large part, and so it is of a model of many languages: half of
BERT's 30,522 pieces are in no text, and more of 250,000. A word whose piece is cut is spelled with
shorter ones. A text whose pieces are all kept reads as before.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from models.errors import CheckpointError

FIRST_WORD = 999  # "!": what comes before it in BERT's uncased vocabulary is special or unused
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def smaller(tokenizer: Any, texts: Sequence[str], size: int) -> Any:
    """A tokenizer of at most ``size`` pieces of ``tokenizer``'s, a fast one of transformers.

    Kept are the special tokens, every byte, the single characters of ASCII, what the kind of
    tokenizer needs besides, and, of the rest, the pieces that are most frequent in ``texts``. Of
    word pieces those before `FIRST_WORD` keep their numbers; of the others those up to the
    padding's.

    Raises:
        CheckpointError: it is neither of word pieces, nor byte pairs, nor unigrams; or ``size`` is
            less than what has to be kept.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    model = state["model"]
    if model["type"] not in _CUTS:
        raise CheckpointError(
            f"--vocabulary: a tokenizer of the kind {model['type']} is not cut; "
            f"{', '.join(_CUTS)} are"
        )
    pieces = _pieces(model)
    seen = Counter(i for ids in tokenizer(list(texts))["input_ids"] for i in ids)
    special = {token["content"] for token in state["added_tokens"]}
    fixed = FIRST_WORD if model["type"] == "WordPiece" else 1 + (tokenizer.pad_token_id or 0)

    def rank(piece: str) -> tuple[bool, bool, int, int]:
        number = pieces[piece]
        first = number < fixed or piece in special
        return not first, not _spells(piece, model), -seen[number], number

    order = sorted(pieces, key=rank)
    needed = [p for p in order if pieces[p] < fixed or p in special or _spells(p, model)]
    beyond = [name for name in special if name not in pieces]  # special tokens of no model
    kept = _CUTS[model["type"]](model, order, size - len(beyond))
    if model["type"] != "WordPiece" and not kept.issuperset(needed):
        raise CheckpointError(
            f"--vocabulary {size}: its special tokens and single characters alone are "
            f"{len(needed)}; say more than that"
        )
    numbers = {piece: i for i, piece in enumerate(sorted(kept, key=pieces.__getitem__))}
    _replace(model, numbers)
    for token in state["added_tokens"]:
        token["id"] = numbers.setdefault(token["content"], len(numbers))
    if state["padding"]:
        state["padding"]["pad_id"] = numbers[state["padding"]["pad_token"]]
    if state["post_processor"]:
        state["post_processor"] = _renumbered(state["post_processor"], numbers)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)), **tokenizer.special_tokens_map
    )


def _pieces(model: dict[str, Any]) -> dict[str, int]:
    """The number of each piece of a tokenizer's model."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        return vocabulary
    return {piece: i for i, (piece, _) in enumerate(vocabulary)}


def _spells(piece: str, model: dict[str, Any]) -> bool:
    """Whether a piece is one character, or a byte, that others can be spelled with."""
    from tokenizers.pre_tokenizers import ByteLevel

    prefix = model.get("continuing_subword_prefix") or ""
    suffix = model.get("end_of_word_suffix") or ""
    letters = piece.removeprefix(prefix).removesuffix(suffix)
    if model["type"] == "Unigram":
        letters = piece.removeprefix("\u2581")  # alone it begins a word
    if model["type"] == "BPE" and letters in ByteLevel.alphabet():
        return True
    return (len(letters) <= 1 and letters.isascii()) or bool(_BYTE.fullmatch(piece))


def _cut_word_pieces(model: dict[str, Any], order: Sequence[str], size: int) -> set[str]:
    return set(order[:size])


def _cut_unigrams(model: dict[str, Any], order: Sequence[str], size: int) -> set[str]:
    """Keep the first, the unknown piece, and the least likely one, which the unknown's score is
    derived from."""
    scores = dict(model["vocab"])
    kept = {min(scores, key=scores.__getitem__)}
    if model["unk_id"] is not None:
        kept.add(model["vocab"][model["unk_id"]][0])
    for piece in order:
        if len(kept) < size:
            kept.add(piece)
    return kept


def _cut_byte_pairs(model: dict[str, Any], order: Sequence[str], size: int) -> set[str]:
    """Keep the first, each with all that it is merged from."""
    steps, kept = _steps(model), set[str]()
    for piece in order:
        whole = {piece, *steps(piece)}
        if len(kept | whole) <= size:
            kept |= whole
    return kept


_CUTS = {"WordPiece": _cut_word_pieces, "BPE": _cut_byte_pairs, "Unigram": _cut_unigrams}


def _steps(model: dict[str, Any]) -> Callable[[str], list[str]]:
    """Return what gives the pieces that a piece is merged from, its characters among them.

    It merges as the tokenizer does: of the pairs that stand next to each other the first in the
    list of merges. Within a piece of a text the same merges happen as within the piece alone.
    """
    prefix = model.get("continuing_subword_prefix") or ""
    suffix = model.get("end_of_word_suffix") or ""
    ranks = {pair: i for i, pair in enumerate(_pairs(model))}

    def steps(piece: str) -> list[str]:
        letters = piece.removeprefix(prefix).removesuffix(suffix)
        begins = not prefix or not piece.startswith(prefix)
        symbols = [c if begins and not i else prefix + c for i, c in enumerate(letters)]
        if symbols and suffix and piece.endswith(suffix):
            symbols[-1] += suffix
        met = list(symbols)
        while len(symbols) > 1:
            pairs = list(pairwise(symbols))
            least = min(range(len(pairs)), key=lambda i: ranks.get(pairs[i], len(ranks)))
            if pairs[least] not in ranks:
                break
            left, right = pairs[least]
            symbols[least : least + 2] = [left + right.removeprefix(prefix)]
            met.append(symbols[least])
        known = model["vocab"]
        # A special token is written whole, and its letters are no pieces.
        return [one for one in met if one in known] if symbols == [piece] else []

    return steps


def _pairs(model: dict[str, Any]) -> list[tuple[str, str]]:
    merges = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
    return [(left, right) for left, right in merges]


def _replace(model: dict[str, Any], numbers: dict[str, int]) -> None:
    """Give a tokenizer's model the pieces ``numbers``, by their order, and no others."""
    if model["type"] == "Unigram":
        unknown = model["unk_id"]
        if unknown is not None:
            model["unk_id"] = numbers[model["vocab"][unknown][0]]
        model["vocab"] = [entry for entry in model["vocab"] if entry[0] in numbers]
        return
    if model["type"] == "BPE":
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [
            [left, right]
            for left, right in _pairs(model)
            if {left, right, left + right.removeprefix(prefix)} <= numbers.keys()
        ]
    model["vocab"] = dict(numbers)


def _renumbered(processor: dict[str, Any], numbers: dict[str, int]) -> dict[str, Any]:
    """A post-processor whose special tokens have their new numbers."""
    for inner in processor.get("processors", ()):  # a sequence of them
        _renumbered(inner, numbers)
    for end in {"cls", "sep"} & processor.keys():
        processor[end] = [processor[end][0], numbers[processor[end][0]]]
    if processor["type"] == "TemplateProcessing":
        for token in processor["special_tokens"].values():
            token["ids"] = [numbers[name] for name in token["tokens"]]
    return processor


def numbers_in(larger: Any, tokenizer: Any) -> list[int] | None:
    """Of each piece of ``tokenizer``, in order, the number that it has in ``larger``; None where
    it has a piece that ``larger`` does not know."""
    known, pieces = larger.get_vocab(), tokenizer.get_vocab()
    if not pieces.keys() <= known.keys():
        return None
    return [known[piece] for piece in sorted(pieces, key=pieces.__getitem__)]
