"""Damage to a sound file: by bytes, where structure does not matter, and by structure."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# What offsets, lengths, shapes and counts are replaced by.
_WILD = (0, 1, -1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**31, 2**32 - 1)
# What hypothesis draws a value from: enough for any of `VALUES`.
_CHOICES = 4096
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from((*_WILD, 2**63, -(2**63), 10**400))
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.sampled_from(
        ("", "..", "../../outside", "/etc/passwd", "\0", "a" * 5000, "\x1b[2J", "\ud800", "a\nb")
    )
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=12,
)


def drawn(strategy: st.SearchStrategy[Any], rng: Random) -> Any:
    """Return a value of a strategy that `rng` decides on alone; None if it came to none."""
    found: list[Any] = []
    _drawing(strategy)(rng.randbytes(_CHOICES), found.append)
    return found[-1] if found else None


@cache
def _drawing(strategy: st.SearchStrategy[Any]) -> Callable[[bytes, Callable[[Any], None]], None]:
    keep: list[Callable[[Any], None]] = []

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def example(value: Any) -> None:
        keep[-1](value)

    def draw(choices: bytes, found: Callable[[Any], None]) -> None:
        keep[:] = [found]
        example.hypothesis.fuzz_one_input(choices)  # type: ignore[attr-defined]

    return draw


def flipped(content: bytes, rng: Random) -> bytes:
    """Return a file with one to eight changes: bits flipped, numbers made wild, parts cut."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        rng.choice(_CHANGES)(changed, rng)
    return bytes(changed)


def _bit(content: bytearray, rng: Random) -> None:
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _number(content: bytearray, rng: Random) -> None:
    """Overwrite one to eight bytes with a number, aligned as formats have them."""
    size = rng.choice((1, 2, 4, 4, 8))
    if len(content) >= size:
        at = rng.randrange(len(content) - size + 1) // size * size
        number = rng.choice((*_WILD, len(content), len(content) - at, rng.getrandbits(32)))
        content[at : at + size] = struct.pack("<q", number)[:size]


def _cut(content: bytearray, rng: Random) -> None:
    del content[rng.randrange(len(content) + 1) :]


def _removed(content: bytearray, rng: Random) -> None:
    at = rng.randrange(len(content) + 1)
    del content[at : at + rng.choice((1, 4, 16, 256))]


def _repeated(content: bytearray, rng: Random) -> None:
    at = rng.randrange(len(content) + 1)
    content[at:at] = content[at : at + rng.choice((1, 4, 64, 4096))] * rng.choice((1, 2, 50))


def _inserted(content: bytearray, rng: Random) -> None:
    at = rng.randrange(len(content) + 1)
    content[at:at] = rng.choice((rng.randbytes(rng.randrange(1, 9)), b'"', b"\0", b"\xff\xfe"))


_CHANGES = (_bit, _bit, _number, _number, _cut, _removed, _repeated, _inserted)


def restructured(document: Any, rng: Random) -> Any:
    """Return a JSON document with one to three of its values replaced, removed, moved or nested."""
    changed = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        parents: list[Any] = []
        _collect(changed, parents)
        if not parents:
            return drawn(VALUES, rng)
        parent = rng.choice(parents)
        key = rng.choice([*parent] if isinstance(parent, dict) else range(len(parent)))
        _change(parent, key, rng)
    return changed


def _collect(value: Any, parents: list[Any]) -> None:
    """Collect what has parts. Of a long list a few parts are enough."""
    if isinstance(value, dict | list) and value:
        parents.append(value)
        parts = list(value.values()) if isinstance(value, dict) else value
        for part in parts[:20]:
            _collect(part, parents)


def _change(parent: Any, key: Any, rng: Random) -> None:
    how = rng.randrange(8)
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, dict):
        parent[str(drawn(VALUES, rng))] = parent.pop(key)
    elif how == 1:
        parent.insert(key, copy.deepcopy(parent[key]))
    elif how == 2:
        parent[key] = [parent[key]]
    elif how == 3 and isinstance(parent[key], list | dict):
        parent[key] = type(parent[key])()
    elif how == 3 and isinstance(parent[key], int | float):
        parent[key] = rng.choice((*_WILD, -parent[key], parent[key] + 1, float("nan"), 1e308))
    elif how == 4 and isinstance(parent, dict):
        parent[key] = parent[rng.choice([*parent])]
    else:
        parent[key] = drawn(VALUES, rng)


def as_json(document: Any, rng: Random) -> bytes:
    """Return a document as JSON; now and then far too deep, or in another encoding."""
    text = json.dumps(document, default=str)
    how = rng.randrange(100)
    if how == 0:
        text = "[" * 100_000 + text
    elif how == 1:
        text = f'{{"a":{"[" * 900}{text}{"]" * 900}}}'
    return text.encode(rng.choice(("utf-16", "latin-1")) if how == 2 else "utf-8", "replace")
