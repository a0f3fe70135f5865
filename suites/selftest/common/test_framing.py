"""What frames and pads a text is read from the tokenizer, whatever its tokens are called."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from common.framing import Framing
from devices import worker

tokenizers = pytest.importorskip("tokenizers")

WORDS = ("<s>", "<pad>", "</s>", "<unk>", "a", "b", "c")


def tokenizer(template: str, pad: str = "<pad>") -> Any:
    """A tokenizer of words, whose post-processor is ``template``."""
    words = {word.replace("<pad>", pad): i for i, word in enumerate(WORDS)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if template:
        special = [(token, words[token]) for token in ("<s>", "</s>") if token in template]
        made.post_processor = tokenizers.processors.TemplateProcessing(template, None, special)
    return made


@pytest.mark.parametrize(
    ("template", "opening", "closing"),
    [
        ("<s> $A </s>", [0], [2]),
        ("<s> $A", [0], []),
        ("$A </s>", [], [2]),
        ("<s> <s> $A </s> </s> </s>", [0, 0], [2, 2, 2]),
        ("", [], []),
    ],
)
def test_a_text_that_is_cut_keeps_its_frame(
    template: str, opening: list[int], closing: list[int]
) -> None:
    made = tokenizer(template)
    framing = Framing(made)
    assert (framing.opening, framing.closing, framing.pad) == (opening, closing, 1)
    ids = made.encode("a b c a b c").ids
    assert framing.cut(ids, 100) == ids
    assert framing.cut(ids, 6) == [*ids[: 6 - len(closing)], *closing]
    assert framing.filled(ids[:2], 4) == [*ids[:2], 1, 1]
    assert framing.cut(ids, 1) == (closing or ids)[:1]


def test_padding_and_truncation_of_the_file_change_nothing() -> None:
    made = tokenizer("<s> $A </s>")
    made.enable_truncation(3)
    made.enable_padding(length=12, pad_id=3, pad_token="[PAD]", direction="left")
    framing = Framing(made)
    assert framing.filled(made.encode("a b c").ids, 7) == [0, 4, 5, 6, 2, 1, 1]


def test_the_padding_token_is_found_by_its_name_or_given() -> None:
    odd = tokenizer("$A </s>", pad="[fill]")
    with pytest.raises(ValueError, match="names no padding token"):
        Framing(odd)
    assert Framing(odd, pad=1).pad == 1
    odd.enable_padding(pad_id=1, pad_token="[fill]")
    assert Framing(odd).pad == 1
    named = tokenizer("$A </s>", pad="<|padding|>")
    named.add_special_tokens(["<|padding|>"])
    assert Framing(named).pad == 1


def test_the_worker_which_runs_alone_frames_alike() -> None:
    assert inspect.getsource(worker.Framing) == inspect.getsource(Framing)
