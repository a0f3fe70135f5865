"""ONNX models: the graph is the checkpoint's, and a file is what its mode promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from common.cache import Cache
from common.framing import Framing
from data.dataset import Dataset
from devices.measurement.numerics import mean_logit_error
from models import contents, modes
from models.architectures import architectures
from models.checkpoints.checkpoint import Checkpoint, open_checkpoint, parameter_count
from models.contents import inspect
from models.errors import ModelFileError, QuantizeError
from models.modes import MODES, mode_of
from models.onnx import contents as onnx_contents
from models.onnx.convert import INPUTS, model
from suites.selftest import synthetic

onnx = pytest.importorskip("onnx", reason="the dependency group build installs it")
ort = pytest.importorskip("onnxruntime", reason="the dependency group build installs it")

IN_ONNX = [name for name, mode in MODES.items() if "onnx" in mode.formats]
TOLERANCE = 1e-4
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in architectures()),
    ("bert", {"hidden_act": "gelu_new"}),
    ("bert", {"type_vocab_size": 1}),
    ("mobilebert", {"normalization_type": "layer_norm", "classifier_activation": True}),
    ("electra", {"embedding_size": 32}),
    ("albert", {"num_hidden_groups": 2, "inner_group_num": 2}),
    ("static_embedding", {"bigram_rows": 64, "hidden_size": 0}),
]


def _session(content: bytes) -> Callable[..., np.ndarray]:
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(ids: Any, mask: Any, types: Any) -> np.ndarray:
        fed = {k: np.asarray(v, np.int64) for k, v in zip(INPUTS, (ids, mask, types), strict=True)}
        logits: np.ndarray = session.run(["logits"], fed)[0]
        return logits

    return run


@pytest.mark.parametrize(("kind", "fields"), VARIANTS, ids=str)
def test_every_architecture_computes_what_pytorch_computes(
    kind: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    """From the same file as the TensorFlow graph, for any length, padded or not."""
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch")
    folder, oracle = synthetic.write_checkpoint(tmp_path, kind, **fields)
    checkpoint = open_checkpoint(str(folder))
    run = _session(model(checkpoint).SerializeToString())
    rng, outputs, expected = np.random.default_rng(0), [], []
    pad = checkpoint.config["pad_token_id"]
    for length, real in [(2, 2), (7, 7), (40, 40), (40, 12), (128, 3), (128, 128)]:
        ids = rng.integers(5, checkpoint.config["vocab_size"], (1, length))
        mask = (np.arange(length) < real)[np.newaxis].astype(int)
        ids = np.where(mask, ids, pad)
        types = rng.integers(0, checkpoint.config.get("type_vocab_size", 1), (1, length))
        outputs.append(run(ids, mask, types))
        tensors = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
        if checkpoint.config.get("type_vocab_size", 1) > 1:
            tensors["token_type_ids"] = torch.tensor(types)
        with torch.inference_mode():
            expected.append(oracle(**tensors).logits.numpy())
    spread = np.ptp(np.concatenate(expected))
    assert spread >= 1, "logits this close together would hide any mistake"
    worst = np.abs(np.concatenate(outputs) - np.concatenate(expected)).max()
    assert worst <= TOLERANCE * spread, f"worst logit {worst:.2e} away, spread {spread:.2f}"


@pytest.fixture(scope="module", params=IN_ONNX)
def mode(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def path(mode: str, checkpoint: Checkpoint, cache: Cache) -> Path:
    """The candidate's ONNX model in a mode."""
    return modes.build(mode, checkpoint, cache, format="onnx")


def test_a_mode_keeps_its_promises_in_onnx(
    mode: str,
    path: Path,
    checkpoint: Checkpoint,
    few: Dataset,
    expected: np.ndarray,
    spread: float,
) -> None:
    promised, found = MODES[mode].in_format("onnx"), inspect(path)
    assert promised.dtype_faults(found) == {}
    assert mode_of(found) == mode
    share = found.size_bytes / (4 * parameter_count(checkpoint.config))
    assert promised.ratio[0] <= share <= promised.ratio[1]
    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer))
    framing, run = Framing(tokenizer), _session(path.read_bytes())
    outputs = []
    for encoding in tokenizer.encode_batch(list(few.texts)):
        ids = np.array([framing.cut(encoding.ids, 128)])
        outputs.append(run(ids, np.ones_like(ids), np.zeros_like(ids)))
    logits = np.concatenate(outputs)
    mean, worst = mean_logit_error(logits, expected, spread)
    assert mean <= promised.mean_logit_error
    assert worst <= promised.max_logit_error
    agreement = 100 * np.mean(logits.argmax(1) == expected.argmax(1))
    assert agreement >= promised.agreement


def test_no_promise_is_looser_in_onnx(mode: str) -> None:
    """ONNX Runtime's files were measured within what is promised of TensorFlow Lite's."""
    tflite, variant = MODES[mode], MODES[mode].in_format("onnx")
    assert variant.agreement >= tflite.agreement
    assert variant.mean_logit_error <= tflite.mean_logit_error
    assert variant.max_logit_error <= tflite.max_logit_error


def test_a_mode_that_is_not_built_in_onnx_is_refused(checkpoint: Checkpoint, cache: Cache) -> None:
    with pytest.raises(QuantizeError, match=r"int4: .* not built as onnx; it is built as tflite"):
        modes.build("int4", checkpoint, cache, format="onnx")


def test_the_contents_are_read_from_the_file(path: Path, mode: str) -> None:
    found = inspect(path)
    (signature,) = found.signatures
    assert signature.inputs == dict.fromkeys(INPUTS, ("int64", (1, None)))
    assert signature.outputs == {"logits": ("float32", (1, 3))}
    assert found.size_bytes == path.stat().st_size
    assert ("MatMulInteger v20" in found.operators) is (mode == "dynamic_range")
    assert sum(found.weight_bytes.values()) == pytest.approx(found.size_bytes, rel=0.05)


def test_a_board_reads_the_record_of_a_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, onnx is not installed."""
    copy = tmp_path / "model.onnx"
    copy.write_bytes(path.read_bytes())
    expected = inspect(copy)
    contents.record(copy)
    monkeypatch.setattr(onnx_contents, "can_read", lambda: False)
    assert inspect(copy) == expected
    copy.write_bytes(copy.read_bytes() + b" ")
    with pytest.raises(ModelFileError, match="is about another file"):
        inspect(copy)
    with pytest.raises(ModelFileError, match="install onnx, or judge a bundle"):
        inspect(tmp_path / "other.onnx")


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:1000], lambda b: b"TFL3" * 99])
def test_a_damaged_file_is_refused(
    damage: Callable[[bytes], bytes], path: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelFileError, match=r"damaged\.onnx: not an ONNX model, or damaged"):
        inspect(damaged)


def test_weights_in_other_files_are_refused(path: Path, tmp_path: Path) -> None:
    """Its bytes would be those of the graph alone."""
    external = tmp_path / "external.onnx"
    onnx.save(onnx.load(path), external, save_as_external_data=True, location="weights")
    with pytest.raises(ModelFileError, match="save it as one file"):
        inspect(external)


def test_the_dtype_of_every_product_is_read(tmp_path: Path) -> None:
    """A product whose integers reach another node as they are is no float32 one."""
    helper, types = onnx.helper, onnx.TensorProto
    table = onnx.numpy_helper.from_array(np.ones((64, 64), np.int8), "table")
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "table", "zero"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["y"], to=types.FLOAT),
        helper.make_node("MatMulInteger", ["q", "table", "zero"], ["other"]),
        helper.make_node("Abs", ["other"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", types.FLOAT, (1, 64))],
        [
            helper.make_tensor_value_info("y", types.FLOAT, (1, 64)),
            helper.make_tensor_value_info("z", types.INT32, (1, 64)),
        ],
        [table],
    )
    file = tmp_path / "products.onnx"
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), file)
    found = inspect(file)
    assert found.activations == {"float32": 1, "int32": 1}
    assert found.large_weights == {"int8": 1}
    faults = MODES["dynamic_range"].in_format("onnx").dtype_faults(found)
    assert faults.keys() == {"activations"}


def test_an_onnx_model_is_built_without_tensorflow(checkpoint: Checkpoint) -> None:
    code = (
        "import sys; from models.checkpoints.checkpoint import open_checkpoint\n"
        f"from models.onnx.convert import model; model(open_checkpoint({str(checkpoint.path)!r}))\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"tensorflow", "torch", "transformers"}.isdisjoint(done.stdout.split())
