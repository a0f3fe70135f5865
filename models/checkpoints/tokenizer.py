"""Tokenizers of others: loaded and asked so that whatever is wrong in one is said in a sentence.

`tokenizers` is native code. It reports a fault as a bare Exception, and panics at some: a
BaseException, which no other handler expects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from common.framing import Framing
from models.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def load(path: Path) -> Tokenizer:
    """Return the tokenizer of a file ``tokenizer.json``, its own cutting and padding turned off.

    Raises:
        CheckpointError: it is none.
    """
    from tokenizers import Tokenizer

    with _refusals(path):
        encoder = Tokenizer.from_file(str(path))
        encoder.no_truncation()
        encoder.no_padding()
    return encoder


def token_ids(path: Path, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of texts, framed, however many.

    Raises:
        CheckpointError: the file is no tokenizer, or it cannot encode them.
    """
    encoder = load(path)
    with _refusals(path):
        return [encoding.ids for encoding in encoder.encode_batch(list(texts))]


def framing(path: Path) -> Framing:
    """Return what a tokenizer puts around a text, and what pads it.

    Raises:
        CheckpointError: the file is no tokenizer, or names no padding token.
    """
    encoder = load(path)
    with _refusals(path):
        return Framing(encoder)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{path}: not a tokenizer that can be used ({said:.200}); fetch it again, or save it "
            "again with the tokenizers library"
        ) from None
