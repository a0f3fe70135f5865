"""The modes of the shipped candidate: what they promise, and how they are built."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from common.cache import Cache
from common.imports import PROJECT
from data.splits import Splits
from devices.measurement.numerics import mean_logit_error
from fixtures.target import TargetId
from models import modes
from models.checkpoints.checkpoint import Checkpoint
from models.contents import inspect
from models.errors import QuantizeError
from models.modes import DEFAULT, MODES, dynamic_range, full_integer, mode_of
from models.tflite import calibration
from models.tflite.flatbuffer import MODEL_FILE, dtype_of, operator_name
from models.tflite.layers import MASKED
from models.tflite.quantizer import calibrate, quantize
from models.tflite.transformations import rewritten, share
from suites.selftest.conftest import Ask

LITERT = TargetId("host", "ai-edge-litert", "float32")


def test_sharing_changes_no_output(
    ask: Ask, checkpoint: Checkpoint, cache: Cache, path32: Path, tmp_path: Path
) -> None:
    """The file with everything equal stored once has the outputs of the tool's own, bit for bit."""
    path = tmp_path / MODEL_FILE
    path.write_bytes(quantize(path32, dynamic_range.RECIPE))
    shared = modes.build("dynamic_range", checkpoint, cache)
    assert shared.stat().st_size < path.stat().st_size
    np.testing.assert_array_equal(ask(LITERT, path).logits, ask(LITERT, shared).logits)


def test_every_int8_layer_has_a_bias_and_zeros_change_no_output(
    ask: Ask, checkpoint: Checkpoint, cache: Cache, splits: Splits, tmp_path: Path
) -> None:
    """Without one an aarch64 kernel of tflite-runtime reads address 0."""
    path, without = modes.build("full_integer", checkpoint, cache, splits.calibration), 0

    def remove_biases(model: Any) -> None:
        nonlocal without
        for graph in model.subgraphs:
            for operator in graph.operators:
                if operator_name(model.operatorCodes[operator.opcodeIndex]) != "FULLY_CONNECTED":
                    continue
                given, _, bias = operator.inputs
                if dtype_of(graph.tensors[given]) != "int8":
                    continue
                assert bias >= 0
                if not model.buffers[graph.tensors[bias].buffer].data.any():
                    operator.inputs = np.array([*operator.inputs[:2], -1], np.int32)
                    without += 1

    bare = tmp_path / MODEL_FILE
    bare.write_bytes(rewritten(path.read_bytes(), remove_biases))
    assert without > 0
    for runtime in ("ai-edge-litert", "tflite-runtime"):
        target = TargetId("host", runtime, "full_integer")
        np.testing.assert_array_equal(ask(target, bare, 8).logits, ask(target, path, 8).logits)
    assert inspect(path).operators == inspect(bare).operators


@pytest.mark.parametrize("mode", ["int4", "full_integer", "int16x8", "mixed"])
def test_modes_outside_the_main_job_keep_their_promises(
    mode: str,
    ask: Ask,
    checkpoint: Checkpoint,
    cache: Cache,
    splits: Splits,
    expected: np.ndarray,
    spread: float,
) -> None:
    path = modes.build(mode, checkpoint, cache, splits.calibration)
    found, promised = inspect(path), MODES[mode]
    assert promised.dtype_faults(found) == {}
    assert mode_of(found) == mode
    assert found.signatures[0].outputs["logits"][0] == "float32"
    mean, worst = mean_logit_error(ask(LITERT, path).logits, expected, spread)
    assert mean <= promised.mean_logit_error
    assert worst <= promised.max_logit_error


def _calibrated(path32: Path, checkpoint: Checkpoint, splits: Splits, mask_from: str) -> bytes:
    """full_integer, calibrated with two texts whose mask and another input are swapped."""
    texts = calibration.sample(splits.calibration).texts[:2]
    shown = calibration.samples(inspect(path32).signatures, checkpoint.tokenizer, texts)
    for inputs in (one for signature in shown.values() for one in signature):
        inputs["attention_mask"], inputs[mask_from] = inputs[mask_from], inputs["attention_mask"]
    return share(quantize(path32, full_integer.RECIPE, calibrate(path32, shown)))


def test_calibration_with_token_types_as_the_mask_shows_in_its_scale(
    checkpoint: Checkpoint, cache: Cache, path32: Path, splits: Splits, tmp_path: Path
) -> None:
    """The tool raises nothing, and the logits hardly move: only the mask's scale shows it."""
    path = tmp_path / MODEL_FILE
    path.write_bytes(_calibrated(path32, checkpoint, splits, "token_type_ids"))
    right = inspect(modes.build("full_integer", checkpoint, cache, splits.calibration)).mask_ranges
    wrong = inspect(path).mask_ranges
    assert len(right) == len(wrong) > 0
    for bounds in right:
        assert bounds in (pytest.approx((0, 1), abs=0.01), pytest.approx((MASKED, 0), abs=0.5))
    assert min(most - least for least, most in wrong) < 0.01, "no mask was seen: it is ignored"


def test_calibration_with_ids_as_the_mask_is_refused(
    checkpoint: Checkpoint, path32: Path, splits: Splits
) -> None:
    """Positions are counted from the mask, and the table has fewer rows."""
    with pytest.raises(QuantizeError, match="index out of bounds"):
        _calibrated(path32, checkpoint, splits, "input_ids")


def test_a_calibrated_mode_needs_calibration_texts(checkpoint: Checkpoint, cache: Cache) -> None:
    with pytest.raises(QuantizeError, match="full_integer is calibrated, and there are no"):
        modes.build("full_integer", checkpoint, cache)


def test_each_length_is_calibrated_with_the_longest_texts_that_fit_it(
    checkpoint: Checkpoint, path32: Path, splits: Splits
) -> None:
    texts = calibration.sample(splits.calibration).texts
    assert len(texts) == calibration.SAMPLES
    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokens = sorted(len(one.ids) for one in tokenizer.encode_batch(list(texts)))
    for key, shown in calibration.samples(
        inspect(path32).signatures, checkpoint.tokenizer, texts
    ).items():
        length = int(key.removeprefix("tokens_"))
        assert {one["input_ids"].shape for one in shown} == {(1, length)}
        fitting = [n for n in tokens if n <= length][-calibration.PER_LENGTH :]
        assert [int(one["attention_mask"].sum()) for one in shown][: len(fitting)] == fitting[::-1]
        assert len(shown) == calibration.PER_LENGTH
        assert all(one["input_ids"][one["attention_mask"] == 0].sum() == 0 for one in shown)


def test_a_second_sample_for_calibration_is_disjoint(splits: Splits) -> None:
    first = calibration.sample(splits.calibration)
    second = calibration.sample(splits.calibration, without=first)
    assert len(first) == len(second) == calibration.SAMPLES
    assert not set(first.texts) & set(second.texts)
    assert not (set(first.texts) | set(second.texts)) & set(splits.evaluation.texts)


def test_an_unknown_mode_is_refused(checkpoint: Checkpoint, cache: Cache) -> None:
    with pytest.raises(QuantizeError, match="there are float32, float16, dynamic_range"):
        modes.build("int3", checkpoint, cache)


def test_the_converted_file_keeps_every_length(path32: Path) -> None:
    found = {s.key: s.inputs["input_ids"] for s in inspect(path32).signatures}
    assert found == {f"tokens_{n}": ("int32", (1, n)) for n in (24, 40, 64, 128)}


def test_a_file_is_a_mode(tmp_path: Path, cache: Cache, checkpoint: Checkpoint) -> None:
    """In a copy of the project, one more file is one more mode, by any tool."""
    for room in ("common", "data", "models"):
        ignored = shutil.ignore_patterns("zoo", "__pycache__")
        shutil.copytree(PROJECT / room, tmp_path / room, ignore=ignored)
    (tmp_path / "models/modes/mine.py").write_text(
        "from models.mode import Mode\n"
        "MODE = Mode(order=9, weights=('float32',), activations='int8', ratio=(0, 1),\n"
        "            agreement=1, mean_logit_error=1, max_logit_error=1,\n"
        "            build=lambda context: context.float32.read_bytes()[:8])\n"
    )
    code = (
        "from pathlib import Path; from common.cache import Cache; from models import modes\n"
        "from models.checkpoints.checkpoint import open_checkpoint\n"
        f"checkpoint = open_checkpoint({str(checkpoint.path)!r})\n"
        f"path = modes.build('mine', checkpoint, Cache(Path({str(cache.root.absolute())!r})))\n"
        "print(*modes.MODES, path.read_bytes()[4:].decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].split() == [*MODES, "mine", "TFL3"]


def test_modes_are_in_their_order_and_the_default_ones_first() -> None:
    assert tuple(MODES)[: len(DEFAULT)] == DEFAULT == ("float32", "float16", "dynamic_range")
    orders = [mode.order for mode in MODES.values()]
    assert orders == sorted(set(orders))
