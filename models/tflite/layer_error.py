"""How far a quantized FlatBuffer has drifted from float32 after each layer, while it answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from common.cache import Cache
from data.dataset import Dataset
from models.checkpoints.checkpoint import Checkpoint
from models.modes import MODES, recipe_of
from models.tflite import calibration
from models.tflite.calibration import Samples
from models.tflite.contents import MODEL_FILE, inspect
from models.tflite.convert import float32
from models.tflite.quantizer import calibrate, quantize
from models.tflite.transformations import one_signature

_LAYER = re.compile(r"\.layer\.(\d+)\.")


def of_mode(
    checkpoint: Checkpoint, mode: str, cache: Cache, dataset: Dataset, count: int
) -> dict[str, float]:
    """`layer_errors` of a mode, on ``count`` calibration texts, of up to 64 tokens each.

    Raises:
        QuantizeError, ConvertError: the mode cannot be made.
    """
    whole = float32(checkpoint, cache).path / MODEL_FILE
    with TemporaryDirectory() as folder:
        source, quantized = (Path(folder) / name for name in ("float32", mode))
        source.write_bytes(one_signature(whole.read_bytes(), "tokens_64"))
        texts = calibration.sample(dataset).texts
        samples = calibration.samples(inspect(source).signatures, checkpoint.tokenizer, texts)
        ranges = calibrate(source, samples) if MODES[mode].is_calibrated else None
        quantized.write_bytes(quantize(source, recipe_of(mode, checkpoint, source), ranges))
        chosen = {key: inputs[:count] for key, inputs in samples.items()}
        return layer_errors(source, quantized, chosen)


def layer_errors(source: Path, quantized: Path, samples: Samples) -> dict[str, float]:
    """The error of what each layer hands on: its standard deviation as a share of the signal's.

    What layer N hands on carries what all before it did, so a layer costs what it adds. Both files
    must still name their tensors (not be shared).

    Args:
        samples: of one or more signatures.

    Returns:
        By layer, then ``logits``.
    """
    theirs, ours = _outputs(source, samples), _outputs(quantized, samples)
    errors: dict[str, float] = {}
    for where, name in _ends(theirs):
        signal = np.stack([found[name] for found in theirs])
        away = np.stack([found[name] for found in ours]) - signal
        errors[where] = float(away.std() / signal.std())
    return errors


def _ends(found: list[dict[str, np.ndarray]]) -> list[tuple[str, str]]:
    """The last tensor that is computed of each layer alone, and the logits."""
    last: dict[str, str] = {}
    for name in found[0]:
        layers = set(_LAYER.findall(name))
        if len(layers) == 1:
            last[f"layer {layers.pop()}"] = name
    ordered = sorted(last.items(), key=lambda item: int(item[0].split()[1]))
    return [*ordered, ("logits", "logits")]


def _outputs(path: Path, samples: Samples) -> list[dict[str, np.ndarray]]:
    """Of each sample, every computed tensor by name, in the order of computing; real numbers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(
        model_path=str(path), num_threads=2, experimental_preserve_all_tensors=True
    )
    found = []
    for key, inputs in samples.items():
        run = interpreter.get_signature_runner(key)
        graph = run._subgraph_index
        details = interpreter.get_tensor_details(graph)
        for one in inputs:
            logits = run(**one)["logits"]
            values = {
                d["name"].rstrip("0123456789"): _real(interpreter, d, graph)
                for d in details
                if d["shape"].size and _LAYER.search(d["name"])
            }
            found.append({**{k: v for k, v in values.items() if v is not None}, "logits": logits})
    return found


def _real(interpreter: Any, details: Mapping[str, Any], graph: int) -> np.ndarray | None:
    try:
        value = interpreter.get_tensor(details["index"], graph)
    except ValueError:  # a constant of another dtype, or not computed
        return None
    scales = details["quantization_parameters"]
    if value.dtype in (np.int8, np.int16) and len(scales["scales"]) == 1:
        return (value.astype(np.float32) - scales["zero_points"][0]) * scales["scales"][0]
    return value
