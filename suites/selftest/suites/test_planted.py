"""Faults planted in real model files of the candidate, and judged as the suite judges any.

Each file loads, runs, and raises nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.dataset import Dataset
from data.splits import Splits
from devices.errors import SilentlyWrongError
from devices.measurement.numerics import (
    mean_logit_error,
    normalized_logit_errors,
    require_valid_outputs,
)
from fixtures.target import TargetId
from models.checkpoints.checkpoint import Checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.contents import inspect
from models.errors import ModelFileError
from models.modes import MODES, dynamic_range, full_integer, int4
from models.tflite import calibration
from models.tflite.flatbuffer import MODEL_FILE, masked_scores, operator_name, unpack
from models.tflite.layers import MASKED
from models.tflite.quantizer import MASKED_BELOW, calibrate, quantize
from models.tflite.transformations import one_signature, rewritten
from suites.selftest.conftest import Ask, BareWorker

LITERT = TargetId("host", "ai-edge-litert", "float32")
LAYER = "mobilebert.encoder.layer.11."
RECIPES = {
    "dynamic_range": dynamic_range.RECIPE,
    "int4": int4.RECIPE,
    "full_integer": full_integer.RECIPE,
}

Change = Callable[[Any], None]
Plant = Callable[[Path, Change], Path]
Error = Callable[[Path], float]


@pytest.fixture(scope="module")
def one(path32: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 model file with one signature, of 64 tokens, so that what is planted is small."""
    path = tmp_path_factory.mktemp("one") / MODEL_FILE
    path.write_bytes(one_signature(path32.read_bytes(), "tokens_64"))
    return path


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Make a model file with a change, through the schema."""

    def planted(source: Path, change: Change) -> Path:
        path = tmp_path / "planted.tflite"
        path.write_bytes(rewritten(source.read_bytes(), change))
        return path

    return planted


def _quantized(source: Path, mode: str, folder: Path, samples: Any = None) -> Path:
    path = folder / f"{mode}.tflite"
    ranges = calibrate(source, samples) if samples else None
    path.write_bytes(quantize(source, RECIPES[mode], ranges))
    return path


@pytest.fixture(scope="module")
def samples(one: Path, checkpoint: Checkpoint, splits: Splits) -> Any:
    texts = calibration.sample(splits.calibration).texts[:24]
    return calibration.samples(inspect(one).signatures, checkpoint.tokenizer, texts)


def _operators(model: Any, kind: str, name: str = "") -> Iterator[Any]:
    """Yield the operators of a kind whose output's name contains ``name``."""
    (graph,) = model.subgraphs
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        output = graph.tensors[operator.outputs[0]].name.decode()
        if operator_name(code) == kind and name in output:
            yield operator


def _tables(model: Any, name: str) -> list[Any]:
    """Return the weight tensors of the dense layers whose name contains ``name``, in order."""
    tensors = model.subgraphs[0].tensors
    found = [tensors[o.inputs[1]] for o in _operators(model, "FULLY_CONNECTED", name)]
    assert found
    return found


def _numbers(model: Any, tensor: Any, dtype: str = "<f4") -> np.ndarray:
    """Return a constant's numbers, which can be written to."""
    buffer = model.buffers[tensor.buffer]
    buffer.data = np.array(buffer.data, np.uint8)  # its own
    shape = () if tensor.shape is None else tuple(tensor.shape)
    return buffer.data.view(dtype).reshape(shape)


@pytest.fixture(scope="session")
def error(ask: Ask, expected: np.ndarray, spread: float) -> Error:
    """The mean normalized logit error of a model file."""
    return lambda path: mean_logit_error(ask(LITERT, path).logits, expected, spread)[0]


def test_without_a_fault_the_outputs_are_the_checkpoint_s(
    error: Error, one: Path, plant: Plant
) -> None:
    """What the faults below are compared with."""
    assert error(plant(one, lambda model: None)) <= MODES["float32"].mean_logit_error


def _swap_layers(model: Any) -> None:
    here, there = _tables(model, LAYER), _tables(model, LAYER.replace("11", "5"))
    for ours, theirs in zip(here, there, strict=True):
        assert tuple(ours.shape) == tuple(theirs.shape)
        ours.buffer, theirs.buffer = theirs.buffer, ours.buffer


def _shift_positions(model: Any) -> None:
    for operator in _operators(model, "EMBEDDING_LOOKUP"):
        table = model.subgraphs[0].tensors[operator.inputs[1]]
        if table.shape[0] == 128:
            numbers = _numbers(model, table)
            numbers[:] = np.roll(numbers, 1, axis=0)


def _ignore_mask(model: Any) -> None:
    _set_mask(model, 0.0)


def _set_mask(model: Any, value: float) -> None:
    """Set what is added to a masked token's score instead of `MASKED`."""
    (operator,) = (o for o in _operators(model, "MUL", "mul") if _is_mask(model, o))
    _numbers(model, model.subgraphs[0].tensors[operator.inputs[1]])[...] = value


def _is_mask(model: Any, operator: Any) -> bool:
    data = model.buffers[model.subgraphs[0].tensors[operator.inputs[1]].buffer].data
    return data is not None and bytes(data) == np.float32(MASKED).tobytes()


@pytest.mark.parametrize(("mask", "holds"), [(MASKED, True), (-30.0, False)])
def test_a_mask_that_is_too_shallow(
    mask: float,
    holds: bool,
    one: Path,
    plant: Plant,
    bare_worker: BareWorker,
    checkpoint: Checkpoint,
    reference_outputs: ReferenceOutputs,
    evaluation: Dataset,
    spread: float,
) -> None:
    """In texts that begin so, a head scores every real token low, and attends to the padding."""
    chosen = [i for i, text in enumerate(evaluation.texts) if text.startswith("@SouthwestAir ")]
    chosen = chosen[:60]
    texts = [evaluation.texts[i] for i in chosen]
    path = plant(one, lambda model: _set_mask(model, mask))
    with bare_worker(LITERT) as worker:
        worker.load(path, checkpoint.tokenizer, checkpoint.label_names, LITERT.runtime)
        logits = worker.classify(texts).logits
    worst = mean_logit_error(
        logits, np.array(reference_outputs.logits, np.float32)[chosen], spread
    )[1]
    assert (worst <= MODES["float32"].max_logit_error) is holds


def test_masked_scores_are_cut_off_just_below_real_ones(one: Path, samples: Any) -> None:
    found = calibrate(one, samples)
    pairs = list(masked_scores(unpack(one.read_bytes(), one)))
    assert len(pairs) == 24, "one a layer"
    for scores, masked in pairs:
        below = found[scores.name.decode()]["min"] - found[masked.name.decode()]["min"]
        assert 0 <= below.item() <= MASKED_BELOW + 1e-3


def _negate_a_table(model: Any) -> None:
    _numbers(model, _tables(model, LAYER + "output.dense/")[0])[:] *= -1


@pytest.mark.parametrize("change", [_swap_layers, _shift_positions, _ignore_mask, _negate_a_table])
def test_a_fault_in_float32_moves_the_logits(
    change: Change, error: Error, one: Path, plant: Plant
) -> None:
    """Two layers swapped, positions off by one, the mask ignored, one table negated."""
    assert error(plant(one, change)) > 10 * MODES["float32"].mean_logit_error


@pytest.mark.parametrize("mode", ["dynamic_range", "int4"])
def test_an_ignored_mask_shows_in_coarser_modes(
    mode: str, ask: Ask, one: Path, plant: Plant, tmp_path: Path, spread: float
) -> None:
    """In nearly every text, by more than conformance permits padding to change."""
    sound = ask(LITERT, _quantized(one, mode, tmp_path)).logits
    ignored = ask(LITERT, _quantized(plant(one, _ignore_mask), mode, tmp_path)).logits
    assert np.mean(normalized_logit_errors(ignored, sound, spread).max(1) > 0.05) > 0.9


def test_an_index_past_the_end_is_refused_when_the_file_is_read(one: Path, plant: Plant) -> None:
    def change(model: Any) -> None:
        model.subgraphs[0].tensors[3].buffer = 99_999

    with pytest.raises(ModelFileError, match="damaged"):
        inspect(plant(one, change))


def test_a_nan_in_one_weight_is_caught(
    ask: Ask, one: Path, plant: Plant, expected: np.ndarray, spread: float
) -> None:
    def change(model: Any) -> None:
        _numbers(model, _tables(model, LAYER + "output.dense/")[0])[0, 0] = np.nan

    with pytest.raises(SilentlyWrongError, match="NaN"):
        require_valid_outputs(
            ask(LITERT, plant(one, change)).logits, expected, spread, "with one NaN"
        )


def test_labels_permuted_in_the_classifier_are_caught(
    ask: Ask, one: Path, plant: Plant, expected: np.ndarray, spread: float
) -> None:
    def change(model: Any) -> None:
        (operator,) = _operators(model, "FULLY_CONNECTED", "classifier/")
        for index in operator.inputs[1:]:
            numbers = _numbers(model, model.subgraphs[0].tensors[index])
            numbers[:] = numbers[[1, 2, 0]]

    logits = ask(LITERT, plant(one, change)).logits
    with pytest.raises(SilentlyWrongError, match="of their spread away"):
        require_valid_outputs(logits, expected, spread, "with permuted labels")
    assert (
        mean_logit_error(logits[:, [2, 0, 1]], expected, spread)[0]
        <= MODES["float32"].mean_logit_error
    )


def test_scales_of_one_layer_doubled(error: Error, one: Path, plant: Plant, tmp_path: Path) -> None:
    def change(model: Any) -> None:
        for table in _tables(model, LAYER):
            table.quantization.scale = table.quantization.scale * 2

    source, most = (
        _quantized(one, "dynamic_range", tmp_path),
        MODES["dynamic_range"].mean_logit_error,
    )
    assert error(source) <= most
    assert error(plant(source, change)) > 2 * most


def test_zero_points_shifted(
    error: Error, one: Path, plant: Plant, samples: Any, tmp_path: Path
) -> None:
    """Of the outputs of all dense layers, by an eighth of int8's range. One layer hides it."""

    def change(model: Any) -> None:
        for operator in _operators(model, "FULLY_CONNECTED", "encoder.layer"):
            scales = model.subgraphs[0].tensors[operator.outputs[0]].quantization
            scales.zeroPoint = np.clip(scales.zeroPoint + 32, -128, 127)

    source = _quantized(one, "full_integer", tmp_path, samples)
    most = MODES["full_integer"].mean_logit_error
    assert error(source) <= most
    assert error(plant(source, change)) > 2 * most


def test_an_unclipped_mask_shows_in_its_scale(
    error: Error, one: Path, plant: Plant, samples: Any, tmp_path: Path
) -> None:
    """-10000, as models are trained: right in float32, and in int8 the scores vanish."""
    source = plant(one, lambda model: _set_mask(model, -10000.0))
    assert error(source) <= MODES["float32"].mean_logit_error
    path = _quantized(source, "full_integer", tmp_path, samples)
    assert min(least for least, _ in inspect(path).mask_ranges) == pytest.approx(-10000, rel=0.01)
    assert error(path) > MODES["full_integer"].mean_logit_error
