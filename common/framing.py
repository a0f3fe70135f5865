"""What a tokenizer puts around a text, and what fills the rest of a signature.

Both come from tokenizer.json, never from names such as [CLS]. The worker, which runs alone on a
device, holds a copy of `Framing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Framing:
    """The token ids that open and close a text, and the one that pads it.

    Attributes:
        opening, closing: ids that the post-processor puts around a text; either may be empty.
        pad: id that fills a signature behind a text.
    """

    PADS = ("[PAD]", "<pad>")
    # Texts that one of any vocabulary knows a token of.
    PROBES = ("a", "1", ".", "\u4e00")

    def __init__(self, tokenizer: Any, pad: int | None = None) -> None:
        """Read them from a `tokenizers.Tokenizer`, and turn off its own cutting and padding.

        ``pad``: pad_token_id of config.json, if it is known.

        Raises:
            ValueError: no padding token is known.
        """
        own = (tokenizer.padding or {}).get("pad_token")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        frame = tokenizer.encode("").ids
        masks = (tokenizer.encode(text).special_tokens_mask for text in self.PROBES)
        opening = next((mask.index(0) for mask in masks if 0 in mask), min(1, len(frame)))
        self.opening, self.closing = frame[:opening], frame[opening:]
        added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        names = (*self.PADS, own, *(name for name in added if "pad" in name.lower()))
        known = (tokenizer.token_to_id(name) for name in names if name)
        found = pad if pad is not None else next((n for n in known if n is not None), None)
        if found is None:
            raise ValueError("it names no padding token: add one to its added_tokens")
        self.pad: int = found

    def cut(self, ids: Sequence[int], length: int) -> list[int]:
        """At most ``length`` ids of a framed text; one that is cut keeps its closing ids."""
        if len(ids) <= length:
            return list(ids)
        return [*ids[: max(0, length - len(self.closing))], *self.closing][:length]

    def filled(self, ids: Sequence[int], length: int) -> list[int]:
        """Exactly ``length`` ids of a framed text: cut, or padded behind it."""
        kept = self.cut(ids, length)
        return [*kept, *[self.pad] * (length - len(kept))]
