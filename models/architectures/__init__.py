"""The architectures of checkpoints: one file each, and its existence is the registration.

An architecture file states a model as transformers names and computes it. It uses only the methods
of ``layers``, ``+``, ``*`` and slicing, so one file serves every format that is built.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol, cast

from models.errors import CheckpointError

# Added to the score of a padding token. Less would be too little where a head scores all real
# tokens of a text low: -65 was met. In int8 it is cut off far above (`quantizer.MASKED_BELOW`).
MASKED = -90.0
# A pair of pieces is hashed to `(piece * BIGRAM_FACTOR + next) % rows`: within int32 for every
# vocabulary of up to 270,000 pieces.
BIGRAM_FACTOR = 7919


class Architecture(Protocol):
    """What an architecture file holds.

    Attributes:
        MODEL_TYPES: values of ``model_type`` in config.json that are this architecture.
        BASE: the name of the encoder in the checkpoint, without the dot.
        DEFAULTS: what transformers assumes where config.json is silent.
        SUPPORTED: fields of config.json, and the values that are implemented.
    """

    @property
    def MODEL_TYPES(self) -> tuple[str, ...]: ...
    @property
    def BASE(self) -> str: ...
    @property
    def DEFAULTS(self) -> Mapping[str, Any]: ...
    @property
    def SUPPORTED(self) -> Mapping[str, tuple[Any, ...]]: ...

    def parameter_shapes(self, config: Mapping[str, Any], /) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, as transformers saves it."""
        ...

    def first_position(self, config: Mapping[str, Any], /) -> int:
        """The row of the position table that belongs to the first token of a text."""
        ...

    def layer_group(self, name: str, /) -> str:
        """The group of layers that the dense layer ``name`` belongs to; its own name if to none.

        What shares a weight is in one group. Mode ``mixed`` gives each group its bits.
        """
        ...

    def logits(
        self, config: Mapping[str, Any], layers: Any, ids: Any, mask: Any, types: Any, /
    ) -> Any:
        """One text, three int32 tensors of shape (tokens,) → float32 logits (classes,)."""
        ...


@cache
def architectures() -> Mapping[str, Architecture]:
    """Every architecture by ``model_type``, in the order of the names."""
    modules = (import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    found = {kind: module for module in modules for kind in module.MODEL_TYPES}
    return MappingProxyType({kind: cast(Architecture, found[kind]) for kind in sorted(found)})


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """The architecture of a ``config.json``.

    Raises:
        CheckpointError: no file implements its ``model_type``.
    """
    known, kind = architectures(), str(config.get("model_type"))
    if kind not in known:
        raise CheckpointError(
            f"model_type {kind!r} of config.json: there is an architecture for {', '.join(known)} "
            "only; convert it elsewhere and judge the file with --model-file"
        )
    return known[kind]


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with what transformers assumes where it is silent."""
    kind = str(config.get("model_type"))
    defaults = architectures()[kind].DEFAULTS if kind in architectures() else {}
    return {**defaults, **config}


def positions(config: Mapping[str, Any]) -> int:
    """Tokens of the longest text that the position table has rows for."""
    first = architecture_of(config).first_position(config)
    return int(config["max_position_embeddings"]) - first
