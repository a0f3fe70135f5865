"""JSON files that others may have written: read whole, and held to the types that are expected.

What a worker replies is held to them too.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import (
    Any,
    Literal,
    NotRequired,
    Required,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

_LARGEST = 2**63


class JsonError(ValueError):
    """What is wrong with a JSON file, in a few words; of a value with its path in the file."""


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        OSError: it cannot be read.
        JsonError: it is cut short, nested too deep, of another encoding, or no object.
    """
    return parse_object(path.read_bytes())


def parse_object(content: bytes | str) -> dict[str, Any]:
    """Return the object in the content of a JSON file.

    Raises:
        JsonError: as `read_object`.
    """
    found = parse(content)
    if not isinstance(found, dict):
        raise JsonError(f"an object is expected, not {type(found).__name__}")
    return found


def parse(content: bytes | str) -> Any:
    """Return what JSON says.

    Raises:
        JsonError: it is cut short, nested too deep, of another encoding, has a number that is not
            finite, or half of a surrogate pair.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        found = json.loads(text, parse_constant=_refuse)
        if "\\ud" in text.lower():
            json.dumps(found, ensure_ascii=False).encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise JsonError(f"not UTF-8: {error.reason} at {error.start}") from None
    except RecursionError:
        raise JsonError("nested too deep") from None
    except ValueError as error:
        raise JsonError(f"incomplete JSON, perhaps truncated: {error}") from None
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def conform(value: object, kind: Any, path: str = "$") -> None:
    """Hold a value of a JSON file to the annotation `kind`.

    Plain types, Any, Literal, list, tuple (a list in JSON), dict, Mapping, a TypedDict, a dataclass
    and `| None` after any of these are known. A number is finite, and fits 64 bits if it is an
    integer.

    Raises:
        JsonError: it is of another type; the message has the path within `value`.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any or (value is None and type(None) in arguments):
        return
    if origin is types.UnionType:
        conform(value, arguments[0], path)
    elif origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise _wrong(value, " or ".join(map(repr, arguments)), path)
    elif origin in (list, tuple):
        _conform_list(value, kind, path)
    elif kind is dict or origin in (dict, Mapping) or is_typeddict(kind) or is_dataclass(kind):
        _conform_object(value, kind, path)
    elif not _is_plain(value, kind):
        raise _wrong(value, _NAMES.get(kind, kind.__name__), path)


def _conform_list(value: object, kind: Any, path: str) -> None:
    if not isinstance(value, list | tuple):
        raise _wrong(value, "a list", path)
    arguments = get_args(kind)
    if get_origin(kind) is list or arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(value) != len(arguments):
        raise _wrong(value, f"{len(arguments)} values", path)
    for index, (element, of_element) in enumerate(zip(value, arguments, strict=True)):
        conform(element, of_element, f"{path}[{index}]")


def _conform_object(value: object, kind: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise _wrong(value, "an object", path)
    if is_typeddict(kind) or is_dataclass(kind):
        _conform_fields(value, kind, path)
        return
    _, of_values = get_args(kind) or (str, Any)
    for name, element in value.items():
        conform(element, of_values, f"{path}.{name:.60}")


_NAMES = {str: "a text", int: "an integer", float: "a number", bool: "true or false"}


def _conform_fields(value: Mapping[str, object], kind: Any, path: str) -> None:
    for name, (annotation, required) in _fields(kind).items():
        if name in value:
            conform(value[name], annotation, f"{path}.{name}")
        elif required:
            raise JsonError(f"{path}.{name}: missing")
    unknown = sorted(value.keys() - _fields(kind).keys())
    if unknown and getattr(kind, "__total__", True):
        raise JsonError(f"{path}.{unknown[0]:.60}: not a field of this schema")


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Return the annotation of each field, and whether it is required."""
    hints = get_type_hints(kind, include_extras=True)
    if is_dataclass(kind):
        return {
            field.name: (hints[field.name], field.default is field.default_factory is MISSING)
            for field in fields(kind)
        }
    found = {}
    for name, hint in hints.items():
        marked = get_origin(hint) in (Required, NotRequired)
        required = get_origin(hint) is Required if marked else kind.__total__
        found[name] = (get_args(hint)[0] if marked else hint, required)
    return found


def _is_plain(value: object, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def _wrong(value: object, expected: str, path: str) -> JsonError:
    return JsonError(f"{path}: expected {expected}, found {_shown(value)}")


def _shown(value: object) -> str:
    """Return the beginning of a value as one line."""
    if isinstance(value, dict | list | tuple | bytes):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    return f"{value!r:.60}"
