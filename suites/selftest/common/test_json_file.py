"""A JSON file of others is read whole, and says what is wrong in it in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Required, TypedDict

import pytest

from common.json_file import JsonError, conform, read_object


class Sample(TypedDict, total=False):
    name: Required[str]
    word: Literal["a", "b"]
    rows: list[list[float]]
    counts: dict[str, int] | None


@dataclass(frozen=True)
class Strict:
    names: tuple[str, ...]
    length: int = 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1', "incomplete JSON"),
        (b"[1]", "an object is expected, not list"),
        (b'{"a": ' + b"[" * 100_000, "nested too deep"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (rb'{"a": "\ud800"}', "not UTF-8"),
        (b'{"a": ' + b"9" * 5000 + b"}", "incomplete JSON"),
    ],
)
def test_what_is_no_json_object_is_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(JsonError, match=said) as caught:
        read_object(tmp_path / "file.json")
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ({"word": "a"}, Sample, r"\$\.name: missing"),
        ({"name": 1}, Sample, r"\$\.name: expected a text, found 1"),
        ({"name": "x", "word": "c"}, Sample, r"\$\.word: expected 'a' or 'b'"),
        ({"name": "x", "word": ["a"]}, Sample, r"\$\.word"),
        ({"name": "x", "rows": [[1.0], [True]]}, Sample, r"\$\.rows\[1\]\[0\]: expected a number"),
        ({"name": "x", "rows": [[float("inf")]]}, Sample, "expected a number"),
        ({"name": "x", "counts": {"a": 2**70}}, Sample, r"\$\.counts\.a: expected an integer"),
        ({"names": "ab"}, Strict, r"\$\.names: expected a list"),
        ({"names": ["a"], "more": 1}, Strict, r"\$\.more: not a field"),
        ({"length": 1}, Strict, r"\$\.names: missing"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_path(value: Any, kind: Any, said: str) -> None:
    with pytest.raises(JsonError, match=said):
        conform(value, kind)


def test_what_conforms_passes() -> None:
    conform({"name": "x", "rows": [[1, 2.5]], "counts": None, "unknown": 1}, Sample)
    conform({"names": ["a"]}, Strict)
