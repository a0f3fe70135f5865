"""The error that a quantized FlatBuffer has accumulated after each layer, against float32."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from common import atomic
from common.cache import Cache
from data.dataset import Dataset
from models.checkpoints.checkpoint import Checkpoint
from models.mode import Context
from models.modes import MODES
from models.tflite import calibration
from models.tflite.calibration import Samples
from models.tflite.contents import read
from models.tflite.convert import float32
from models.tflite.flatbuffer import MODEL_FILE
from models.tflite.mixed_precision import measured_signature
from models.tflite.transformations import one_signature

_LAYER = re.compile(r"\.layer\.(\d+)\.")


def of_mode(
    checkpoint: Checkpoint,
    mode: str,
    cache: Cache,
    dataset: Dataset,
    count: int,
    *,
    explorer: Path | None = None,
) -> dict[str, float]:
    """Return the `layer_errors` of a mode, on ``count`` calibration texts of up to 64 tokens each.

    Args:
        checkpoint, mode, cache, dataset: what is built, and what it is calibrated with.
        count: texts.
        explorer: a folder for both files and what `write_for_explorer` writes; None: nothing.

    Raises:
        QuantizeError, ConvertError: the mode cannot be built.
    """
    build = MODES[mode].build
    all_signatures = float32(checkpoint, cache).path / MODEL_FILE
    with TemporaryDirectory() as folder:
        source, quantized = (Path(folder) / name for name in ("float32", mode))
        source.write_bytes(
            one_signature(all_signatures.read_bytes(), measured_signature(checkpoint))
        )
        context = Context(checkpoint, source, dataset, keep_names=True)
        quantized.write_bytes(build(context) if build else source.read_bytes())
        texts = calibration.sample(dataset).texts
        samples = calibration.samples(read(source).signatures, checkpoint.tokenizer, texts)
        chosen = {key: inputs[:count] for key, inputs in samples.items()}
        if explorer:
            write_for_explorer(source, quantized, chosen, explorer, mode)
        return layer_errors(source, quantized, chosen)


def write_for_explorer(
    source: Path, quantized: Path, samples: Samples, folder: Path, mode: str
) -> None:
    """Write the error of every tensor as Model Explorer's overlay, and the files it lies over.

    ai-edge-quantizer compares the tensors of both files, each with the errors of all operators
    before it: by signal-to-noise ratio, and by the median of the difference over the value.
    """
    from ai_edge_quantizer import model_validator
    from ai_edge_quantizer.utils.validation_utils import ValidationErrorMetric as Error

    reference, target = source.read_bytes(), quantized.read_bytes()
    found = model_validator.compare_model(
        reference,
        target,
        dict(samples),
        error_metrics=[Error.SNR, Error.MEDIAN_DIFF_RATIO],
        num_threads=2,
    )
    found.save(str(folder), mode)
    atomic.write_bytes(folder / "float32.tflite", reference)
    atomic.write_bytes(folder / f"{mode}.tflite", target)


def layer_errors(source: Path, quantized: Path, samples: Samples) -> dict[str, float]:
    """Return the error of each layer's output: its standard deviation as a share of the signal's.

    A layer's output carries the errors of all layers before it, so a layer costs the difference.

    Args:
        source: the float32 FlatBuffer.
        quantized: the same, quantized; both must still name their tensors.
        samples: of one or more signatures.

    Returns:
        By layer, then ``logits``.
    """
    expected, outputs = _outputs(source, samples), _outputs(quantized, samples)
    errors: dict[str, float] = {}
    for layer, name in _last_tensors(expected):
        signal = np.stack([values[name] for values in expected])
        error = np.stack([values[name] for values in outputs]) - signal
        errors[layer] = float(error.std() / signal.std())
    return errors


def _last_tensors(outputs: list[dict[str, np.ndarray]]) -> list[tuple[str, str]]:
    """Return the last tensor that belongs to one layer only, for each layer, and the logits."""
    last: dict[str, str] = {}
    for name in outputs[0]:
        layers = set(_LAYER.findall(name))
        if len(layers) == 1:
            last[f"layer {layers.pop()}"] = name
    ordered = sorted(last.items(), key=lambda item: int(item[0].split()[1]))
    return [*ordered, ("logits", "logits")]


def _outputs(path: Path, samples: Samples) -> list[dict[str, np.ndarray]]:
    """Return for each sample every computed tensor by name, dequantized, in computing order."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(
        model_path=str(path), num_threads=2, experimental_preserve_all_tensors=True
    )
    outputs = []
    for key, inputs in samples.items():
        run = interpreter.get_signature_runner(key)
        graph = run._subgraph_index
        details = interpreter.get_tensor_details(graph)
        for one in inputs:
            logits = run(**one)["logits"]
            values = {
                d["name"].rstrip("0123456789"): _dequantized(interpreter, d, graph)
                for d in details
                if d["shape"].size and _LAYER.search(d["name"])
            }
            outputs.append({**{k: v for k, v in values.items() if v is not None}, "logits": logits})
    return outputs


def _dequantized(interpreter: Any, details: Mapping[str, Any], graph: int) -> np.ndarray | None:
    try:
        value = interpreter.get_tensor(details["index"], graph)
    except ValueError:  # a constant of another dtype, or not computed
        return None
    scales = details["quantization_parameters"]
    if value.dtype in (np.int8, np.int16) and len(scales["scales"]) == 1:
        return (value.astype(np.float32) - scales["zero_points"][0]) * scales["scales"][0]
    return value
