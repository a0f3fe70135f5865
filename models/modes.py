"""The table of modes: the one place that says what each promises and which tool makes it.

A mode is named as TensorFlow Lite names it. What it promises is checked against the file itself
(`models.flatbuffer.inspect`), whichever tool made it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from inspect import getsource
from pathlib import Path
from types import MappingProxyType

from models import flatbuffer as flatbuffers
from models.checkpoint import Checkpoint
from models.errors import QuantizeError
from models.flatbuffer import FLATBUFFER, share
from models.store import Artifact, Store

# Settings of ai-edge-quantizer for the weights of a mode, by its own names.
Settings = Mapping[str, str | int]


@dataclass(frozen=True)
class Mode:
    """What a mode promises, and how it is made.

    Attributes:
        weights: dtype of every table of at least `models.flatbuffer.SMALL` elements.
        activations: dtype of what the operators compute.
        ratio: (least, most) bytes of the file as a share of four bytes a parameter.
        agreement: least share of tweets (percent) answered as the checkpoint's PyTorch model does.
        logit_distance: most mean distance of its logits from that model's, as a share of their
            spread (`devices.answers.logit_distance`).
        worst_logit: the same of any one logit of any one tweet, and of what padding may change.
        settings: what ai-edge-quantizer is asked for; None: the converter's own float32 file.
        why: why this tool and these settings give a right file on every runtime.
    """

    weights: str
    activations: str
    ratio: tuple[float, float]
    agreement: float
    logit_distance: float
    worst_logit: float
    settings: Settings | None
    why: str


def flatbuffer(mode: str, checkpoint: Checkpoint, store: Store) -> Path:
    """The FlatBuffer of ``checkpoint`` in ``mode``, built unless it is there.

    Raises:
        QuantizeError: no such mode, or its tool failed.
        ConvertError: TensorFlow Lite's converter failed.
    """
    from models.convert import float32  # TensorFlow takes seconds to import

    if mode not in MODES:
        raise QuantizeError(f"unknown mode {mode!r}; known: {', '.join(MODES)}")
    source, settings = float32(checkpoint, store), MODES[mode].settings
    made = source if settings is None else _made(mode, source, settings, store)
    return made.path / FLATBUFFER


def _made(mode: str, source: Artifact, settings: Settings, store: Store) -> Artifact:
    inputs = {
        "from": source.path.name,
        "ai-edge-quantizer": version("ai-edge-quantizer"),
        "settings": dict(settings),
        "code": hashlib.sha256((getsource(quantize) + getsource(flatbuffers)).encode()).hexdigest(),
    }

    def build(folder: Path) -> None:
        content = quantize(source.path / FLATBUFFER, settings)
        (folder / FLATBUFFER).write_bytes(share(content))

    return store.artifact(mode, inputs, build)


def quantize(source: Path, settings: Settings) -> bytes:
    """A float32 FlatBuffer quantized by ai-edge-quantizer, in seconds.

    Raises:
        QuantizeError: the tool refused.
    """
    from ai_edge_quantizer import quantizer

    recipe = [
        {
            "regex": ".*",
            "operation": "*",
            "algorithm_key": settings["algorithm"],
            "op_config": {
                "weight_tensor_config": {
                    "num_bits": settings["bits"],
                    "symmetric": True,
                    "granularity": settings["granularity"],
                    "dtype": settings["dtype"],
                },
                "compute_precision": settings["compute"],
                "explicit_dequantize": settings["compute"] == "FLOAT",
            },
        }
    ]
    # Signatures share weights, and the tool warns of each one it meets again; its bars are its own.
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return bytes(quantizer.Quantizer(str(source), recipe).quantize().quantized_model)
    except Exception as error:  # the tool raises its own many types
        raise QuantizeError(f"ai-edge-quantizer: {error}") from error
    finally:
        root.setLevel(level)


MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "float32": Mode(
            "float32", "float32", (0.98, 1.02), 99.7,
            1e-4,
            1e-3, None,
            "TensorFlow's converter; every other mode starts from this file",
        ),
        "float16": Mode(
            "float16", "float32", (0.49, 0.53), 99.5,
            5e-3,
            0.05,
            {"algorithm": "float_casting", "bits": 16, "dtype": "FLOAT",
             "granularity": "TENSORWISE", "compute": "FLOAT"},
            "float16 constants, widened by DEQUANTIZE when loaded",
        ),
        "dynamic_range": Mode(
            "int8", "float32", (0.24, 0.28), 97.0,
            0.05,
            0.5,
            {"algorithm": "min_max_uniform_quantize", "bits": 8, "dtype": "INT",
             "granularity": "TENSORWISE", "compute": "INTEGER"},
            "one scale a tensor: with one a channel tflite-runtime 2.14 answers zeros, without an "
            "error, and refuses the converter's own (FULLY_CONNECTED v12)",
        ),
    }
)  # fmt: skip
