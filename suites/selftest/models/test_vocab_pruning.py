"""A vocabulary is cut, and texts whose pieces are kept read as before."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from models.errors import CheckpointError
from suites.selftest import synthetic

pytest.importorskip("transformers", reason="cutting needs transformers")

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from models.training.vocab_pruning import numbers_in, smaller

LEARNED = [
    *synthetic.dataset().texts,
    *(f"the weather of {place} is warmer than that of {place}land" for place in ["Köln", "Rome"]),
    "lower lowest newer newest wider widest slower",
]
# The texts that decide what is kept.
NEEDED = ["great love of the lowest w12", "Köln is warmer", "today report says newest w7"]


def byte_pairs() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.decoder = decoders.ByteLevel()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator(
        LEARNED,
        trainers.BpeTrainer(
            vocab_size=450,
            special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return made


def byte_pairs_with_affixes() -> Tokenizer:
    made = Tokenizer(models.BPE(continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        LEARNED,
        trainers.BpeTrainer(
            vocab_size=450,
            special_tokens=["<pad>"],
            continuing_subword_prefix="##",
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    return made


def unigrams() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        LEARNED,
        trainers.UnigramTrainer(
            vocab_size=300,
            special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    made.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", None, [("<s>", 0), ("</s>", 2)]
    )
    return made


def word_pieces() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # As many unused pieces as BERT has before its first word.
    unused = [f"[unused{i}]" for i in range(996)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, show_progress=False)
    made.train_from_iterator(LEARNED, trainer)
    learned = made.get_vocab()  # in an order that differs from run to run
    words = [*special, *unused, *sorted(learned, key=learned.__getitem__)]
    made.model = models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]")
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


KINDS: dict[str, tuple[Callable[[], Tokenizer], int]] = {
    "byte pairs": (byte_pairs, 340),
    "byte pairs with affixes": (byte_pairs_with_affixes, 200),
    "unigrams": (unigrams, 110),
    "word pieces": (word_pieces, 1150),
}


def fast(made: Tokenizer) -> Any:
    """With a mask at the end of the vocabulary, where RoBERTa and its relatives have it."""
    made.add_special_tokens(["<mask>"])
    pad = "[PAD]" if made.token_to_id("[PAD]") is not None else "<pad>"
    made.enable_padding(pad_id=made.token_to_id(pad), pad_token=pad)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token=pad, mask_token="<mask>")


@pytest.mark.parametrize("kind", KINDS)
def test_texts_whose_pieces_are_kept_read_as_before(kind: str) -> None:
    make, size = KINDS[kind]
    larger = fast(make())
    own = smaller(larger, NEEDED, size)
    assert len(own) <= size < len(larger)
    assert sorted(own.get_vocab().values()) == list(range(len(own)))
    for text in NEEDED:
        assert own.tokenize(text) == larger.tokenize(text), "this text decided what is kept"
    numbers = numbers_in(larger, own)
    assert numbers is not None
    for text in [*NEEDED, "Köln <mask> w59"]:
        ids = own(text)["input_ids"]
        assert own.convert_ids_to_tokens(ids) == larger.convert_ids_to_tokens(
            [numbers[i] for i in ids]
        )
        assert own.backend_tokenizer.encode(text).ids == ids
    assert own.pad_token_id == larger.pad_token_id, "RoBERTa counts positions from it"
    assert own(NEEDED[0])["input_ids"][0] == larger(NEEDED[0])["input_ids"][0]
    assert own(NEEDED[0])["input_ids"][-1] == numbers.index(larger(NEEDED[0])["input_ids"][-1])
    word = "wider"  # which is cut, and spelled with shorter pieces
    assert len(own.tokenize(word)) > len(larger.tokenize(word))


def test_every_byte_is_kept_and_every_merge_is_of_what_is_kept() -> None:
    own = smaller(fast(byte_pairs()), NEEDED, 340)
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= own.get_vocab().keys()
    for text in ("日本 🙂", "slower than Rome"):
        assert own.decode(own(text)["input_ids"], skip_special_tokens=True) == text
    model = json.loads(own.backend_tokenizer.to_str())["model"]
    assert model["merges"]
    for left, right in model["merges"]:
        assert {left, right, left + right} <= model["vocab"].keys()


def test_what_cannot_be_cut_is_told() -> None:
    with pytest.raises(CheckpointError, match="--vocabulary 200: its special tokens and single"):
        smaller(fast(byte_pairs()), NEEDED, 200)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(CheckpointError, match="of the kind WordLevel is not cut; WordPiece, BPE"):
        smaller(fast(words), NEEDED, 1)


def test_an_unknown_character_stays_as_unlikely_as_it_was() -> None:
    """Its score is derived from the least likely piece: were that cut, a path past a piece that is
    kept would win."""
    likely = [("αβγ", -0.1), ("εζ", -0.1)]
    read = [("α", -5.0), ("β", -5.0), ("γδε", -5.0), ("ζ", -5.0)]
    cut = [("θ", -5.0), ("ω", -20.0)]
    pieces = [("<pad>", 0.0), ("<unk>", 0.0), *likely, *read, *cut]
    larger = fast(Tokenizer(models.Unigram(pieces, unk_id=1)))
    assert larger.tokenize("αβγδεζ") == ["α", "β", "γδε", "ζ"]
    own = smaller(larger, ["αβγδεζ"], len(pieces))
    assert len(own) == len(larger) - 1
    assert own.tokenize("αβγδεζ") == ["α", "β", "γδε", "ζ"]
