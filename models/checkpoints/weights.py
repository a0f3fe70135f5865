"""The weights of a checkpoint as they lie on hubs, read without PyTorch.

One safetensors file or several with an index, in any float dtype, under the names that transformers
gives, or that older releases, compilers and wrappers made of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common import json_file
from common.json_file import JsonError
from models.errors import CheckpointError

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# What torch.compile, DataParallel, FSDP and activation checkpointing put into names.
_WRAPPERS = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
# What pre-training and older releases leave in a file, and no classifier uses.
_LEFTOVERS = re.compile(
    r"(.*\.)?(cls|lm_head|predictions|sop_classifier|generator_predictions|generator_lm_head"
    r"|discriminator_predictions|vocab_transform|vocab_layer_norm|vocab_projector|pooler"
    r"|position_ids|token_type_ids|class_weights?|loss_fct|criterion)(\..*)?"
)


def files(folder: Path) -> tuple[Path, ...]:
    """The files that hold the weights of a checkpoint; none if there are none.

    Raises:
        CheckpointError: the index of its shards is no index, or a shard is missing.
    """
    if (folder / FILE).is_file():
        return (folder / FILE,)
    index = folder / INDEX
    if not index.is_file():
        return ()
    try:
        body = json_file.read_object(index)
        json_file.conform(shards := body.get("weight_map"), dict[str, str], "weight_map")
    except JsonError as error:
        raise CheckpointError(f"{index}: not an index of shards ({error})") from None
    found = tuple(folder / name for name in sorted({Path(n).name for n in (shards or {}).values()}))
    # Path.is_file raises for a long name.
    if missing := [file.name for file in found if not os.path.isfile(file)]:  # noqa: PTH113
        raise CheckpointError(f"{index}: no {', '.join(missing):.200}; fetch the checkpoint again")
    return found


def sha256(folder: Path) -> str:
    """SHA-256 of the one file's bytes; of several, of their digests in the order of names.

    Raises:
        CheckpointError: there is no such file.
    """
    if not files(folder):
        raise CheckpointError(f"{folder}: no {FILE}")
    digests = []
    for path in files(folder):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def size(folder: Path) -> int:
    """Bytes of the files that hold the weights."""
    return sum(file.stat().st_size for file in files(folder))


def names(folder: Path, shapes: Mapping[str, tuple[int, ...]], base: str) -> set[str]:
    """Of the parameters ``shapes``, those that the files hold, under whatever name.

    Raises:
        CheckpointError: a file is truncated.
    """
    return {name for file in files(folder) for name in _places(file, _keys(file), shapes, base)}


def read(folder: Path, shapes: Mapping[str, tuple[int, ...]], base: str) -> dict[str, np.ndarray]:
    """The parameters ``shapes``, float32, by transformers' names; a table's extra rows are cut.

    Args:
        folder: of the checkpoint.
        shapes: name and shape of every parameter.
        base: the name of the encoder, with which most names begin.

    Raises:
        CheckpointError: truncated file, missing or unknown parameter, or one of another shape.
    """
    found: dict[str, np.ndarray] = {}
    for file in files(folder):
        keys = _keys(file)
        places = _places(file, keys, shapes, base)
        known = set(places.values())
        for key in keys:
            if key not in known and not _is_leftover(key, shapes, base):
                raise CheckpointError(f"{file}: {key} has no place in the graph")
        found |= _tensors(file, places)
    where = folder / (FILE if (folder / FILE).is_file() else INDEX)
    for name, shape in shapes.items():
        if name not in found:
            raise CheckpointError(f"{where}: no parameter {name}")
        value = found[name]
        if name.endswith(".word_embeddings.weight") and value.ndim == 2:
            value = value[: shape[0]]  # padding of the table: no tokenizer asks for it
        if value.shape != shape:
            raise CheckpointError(
                f"{where}: {name} is {found[name].shape}, config.json says {shape}"
            )
        found[name] = np.ascontiguousarray(value)
    return {name: found[name] for name in shapes}


def _keys(file: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as tensors:
            return sorted(tensors.keys())
    except SafetensorError as error:
        said = str(error).partition("\n")[0]
        raise CheckpointError(f"{file}: not whole ({said:.200}); fetch or train it again") from None


def _places(
    file: Path, keys: list[str], shapes: Mapping[str, tuple[int, ...]], base: str
) -> dict[str, str]:
    """By transformers' name, the name in the file."""
    places = {key: key for key in keys if key in shapes}
    exact = set(places)
    for key in keys:
        name = _name(key, shapes, base)
        if name is None or name in exact or key in exact:
            continue
        if name in places:
            raise CheckpointError(f"{file}: {places[name]} and {key} are both {name}")
        places[name] = key
    return places


def _name(key: str, shapes: Mapping[str, tuple[int, ...]], base: str) -> str | None:
    """The parameter that ``key`` of a file means; None if it means none of ``shapes``."""
    parts = [part for part in key.split(".") if part not in _WRAPPERS]
    if parts[-1] in ("gamma", "beta"):
        parts[-1] = {"gamma": "weight", "beta": "bias"}[parts[-1]]
    plain = ".".join(parts)
    bare = plain.removeprefix("model.")
    for name in (
        plain,
        f"{base}.{plain}",
        bare,
        f"{base}.{bare}",
        plain.removeprefix(f"{base}."),
        bare.removeprefix(f"{base}."),
    ):
        if name in shapes:
            return name
    return None


def _is_leftover(key: str, shapes: Mapping[str, tuple[int, ...]], base: str) -> bool:
    """Whether a classifier can do without what ``key`` names."""
    return _LEFTOVERS.fullmatch(key) is not None or _name(key, shapes, base) is not None


def _tensors(file: Path, places: Mapping[str, str]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    found = {}
    try:
        with safe_open(file, "np") as tensors:
            for name, key in places.items():
                if tensors.get_slice(key).get_dtype() == "BF16":
                    found[name] = _bfloat16(file, key)
                else:
                    found[name] = tensors.get_tensor(key).astype(np.float32)
    except (SafetensorError, TypeError) as error:
        raise CheckpointError(
            f"{file}: cannot be read ({error!s:.200}); fetch or train it again"
        ) from None
    return found


def _bfloat16(file: Path, key: str) -> np.ndarray:
    """A tensor that numpy has no dtype for, float32: its bits are the upper half of float32's."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        about = json.loads(opened.read(size))[key]
        begin, end = about["data_offsets"]
        opened.seek(8 + size + begin)
        bits = np.frombuffer(opened.read(end - begin), "<u2")
    return (bits.astype(np.uint32) << 16).view(np.float32).reshape(about["shape"])
