"""The faults that the suite exists to catch, in real model files on real runtimes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from common.cache import Cache
from data.dataset import Dataset
from devices import op_support
from devices.client import Worker
from devices.errors import LoadError, SilentlyWrongError
from devices.measurement.numerics import mean_logit_error, require_valid_outputs
from fixtures.target import TargetId
from models import modes
from models.architectures import architecture_of
from models.checkpoints.checkpoint import Checkpoint, open_checkpoint
from models.contents import inspect
from models.errors import CheckpointError
from models.modes import MODES
from models.tflite.convert import saved_model
from models.tflite.flatbuffer import MODEL_FILE
from models.tflite.quantizer import quantize, rule
from models.tflite.transformations import share
from suites.selftest.conftest import Ask, BareWorker

LITERT = TargetId("host", "ai-edge-litert", "float32")
TFLITE = TargetId("host", "tflite-runtime", "float32")


def _load(worker: Worker, target: TargetId, path: Path, checkpoint: Checkpoint) -> None:
    worker.load(path, checkpoint.tokenizer, checkpoint.label_names, target.runtime)


@pytest.fixture(scope="module")
def per_channel(path32: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dynamic_range with a scale for each channel: the quantizer's own default."""
    path = tmp_path_factory.mktemp("per_channel") / MODEL_FILE
    path.write_bytes(share(quantize(path32, (rule(8, granularity="CHANNELWISE"),))))
    return path


# The three faults that began this suite


def test_a_runtime_with_wrong_outputs_and_no_error_is_named(
    ask: Ask, per_channel: Path, expected: np.ndarray, spread: float
) -> None:
    """The same file is right on ai-edge-litert and garbage on tflite-runtime 2.14."""
    require_valid_outputs(
        ask(LITERT, per_channel).logits, expected, spread, "per channel on ai-edge-litert"
    )
    wrong = ask(TFLITE, per_channel).logits
    with pytest.raises(SilentlyWrongError, match=r"on tflite-runtime answers .* without an error"):
        require_valid_outputs(wrong, expected, spread, "per channel on tflite-runtime")


def test_an_operator_that_is_too_new_is_refused_at_load(
    checkpoint: Checkpoint,
    bare_worker: BareWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The converter's own dynamic range (one layer of the checkpoint is enough)."""
    import tensorflow as tf

    # The int8 lookup is too new as well, and would be named first.
    monkeypatch.setattr("models.tflite.layers._embedding_lookup", tf.gather)
    source = saved_model(_first_layer(checkpoint, tmp_path), Cache(tmp_path / "cache_dir"))
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(source.path / "saved_model"), signature_keys=["tokens_24"]
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path = tmp_path / MODEL_FILE
    path.write_bytes(converter.convert())
    needed = inspect(path).operators
    assert op_support.refused(needed, "ai-edge-litert==2.3.0") == []
    refusal = "FULLY_CONNECTED v12; tflite-runtime==2.14.0 stops at v10"
    assert refusal in op_support.refused(needed, "tflite-runtime==2.14.0")
    refused = "opcode 'FULLY_CONNECTED' version '12'"
    with bare_worker(TFLITE) as worker, pytest.raises(LoadError, match=refused):
        _load(worker, TFLITE, path, checkpoint)
    with bare_worker(LITERT) as worker:
        _load(worker, LITERT, path, checkpoint)


def test_one_scale_a_tensor_is_right_on_both(
    ask: Ask, checkpoint: Checkpoint, cache: Cache, expected: np.ndarray, spread: float
) -> None:
    path = modes.build("dynamic_range", checkpoint, cache)
    for target in (LITERT, TFLITE):
        away = mean_logit_error(ask(target, path).logits, expected, spread)[0]
        assert away <= MODES["dynamic_range"].mean_logit_error, (
            f"{target}: {away:.3f} of the spread"
        )


def _first_layer(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    """The checkpoint with one layer. Weights of further layers are refused."""
    from safetensors.numpy import load_file, save_file

    config = {**checkpoint.config, "num_hidden_layers": 1}
    with pytest.raises(CheckpointError, match=r"encoder\.layer\.1.* has no place in the graph"):
        dataclasses.replace(checkpoint, config=config).weights()
    names = architecture_of(config).parameter_shapes(config)
    weights = load_file(checkpoint.path / "model.safetensors")
    save_file({name: weights[name] for name in names}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_bytes(checkpoint.tokenizer.read_bytes())
    return open_checkpoint(str(folder))


# Planted faults


def _ids(checkpoint: Checkpoint, texts: Sequence[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def test_swapped_inputs_and_an_ignored_mask_move_the_logits(
    bare_worker: BareWorker,
    checkpoint: Checkpoint,
    path32: Path,
    few: Dataset,
    expected: np.ndarray,
    spread: float,
) -> None:
    """Each fault moves the logits far more than float32's tolerance; fed right, they do not."""
    ids = _ids(checkpoint, few.texts)
    assert max(map(len, ids)) <= 64
    ones = [[1] * len(row) for row in ids]
    padded = [row + [0] * (64 - len(row)) for row in ids]
    with bare_worker(LITERT) as worker:
        _load(worker, LITERT, path32, checkpoint)
        right = worker.classify_ids(ids)
        wrong = {
            "types and mask swapped": worker.classify_ids(ids, masks=ones, types=ones),
            "mask ignored": worker.classify_ids(padded, masks=[[1] * 64 for _ in padded]),
            "ids and mask swapped": worker.classify_ids(ones, masks=ones),
        }
    tolerance = MODES["float32"].mean_logit_error
    assert mean_logit_error(right.logits, expected, spread)[0] <= tolerance
    for name, outputs in wrong.items():
        away = mean_logit_error(outputs.logits, expected, spread)[0]
        assert away > 10 * tolerance, f"{name}: only {away:.1e} of the spread"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(np.zeros_like, id="zeros"),
        pytest.param(lambda x: np.repeat(x[:1], len(x), 0), id="constant outputs"),
        pytest.param(lambda x: np.roll(x, 1, 0), id="the previous outputs"),
        pytest.param(lambda x: np.where(np.arange(len(x))[:, None] == 3, np.nan, x), id="one NaN"),
    ],
)
def test_a_runtime_that_is_a_stub_is_caught(
    expected: np.ndarray, spread: float, wrong: Callable[[np.ndarray], np.ndarray]
) -> None:
    require_valid_outputs(expected.copy(), expected, spread, "the recorded logits themselves")
    with pytest.raises(SilentlyWrongError):
        require_valid_outputs(wrong(expected), expected, spread, "a stub")
