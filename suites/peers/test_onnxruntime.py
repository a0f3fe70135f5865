"""How far ahead is `dynamic_range` on ai-edge-litert: of float32, of ONNX Runtime's dynamic int8?

A benchmark, not a claim about a device: its own group of packages, outside CI (`tox run -e peers`).
The same checkpoint, texts that need the same length, one thread, and turns of eight queries in one
run, so that a slow minute of the machine hits all alike. What is compared is the interpreter alone:
LiteRT's invoke in a worker, ONNX Runtime's `run` here. The peer's graph is static too: one a
length, as it would be deployed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.cache import Cache
from data.dataset import Dataset
from devices.measurement.latency import VirtualClock, ratio_of_medians, replay
from devices.measurement.numerics import logit_spread, mean_logit_error
from fixtures.matrix import Target
from fixtures.target import OpenWorker
from models.checkpoints.checkpoint import Checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.modes import MODES
from models.tflite.convert import LENGTHS
from reports.check import Check
from reports.verdict import Estimate

onnxruntime = pytest.importorskip(
    "onnxruntime", reason="the peers' packages are not here: tox run -e peers"
)

AHEAD_OF_FLOAT32 = 3.5
AHEAD_OF_PEER = 1.8
BLOCK, BLOCKS = 8, 24
CLOCK = VirtualClock()

pytestmark = pytest.mark.peers


@dataclass(frozen=True)
class Samples:
    """Texts of one length: their texts, and what a graph is fed, each int32 (1, length)."""

    length: int
    indices: list[int]
    texts: list[str]
    inputs: list[dict[str, np.ndarray]]


@pytest.fixture(scope="module", params=LENGTHS, ids=lambda n: f"{n} tokens")
def dataset(request: pytest.FixtureRequest, evaluation: Dataset, checkpoint: Checkpoint) -> Samples:
    """Evaluation texts that need this length, as the worker would choose it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(list(evaluation.texts))]
    longest: int = request.param
    shortest = max((n for n in LENGTHS if n < longest), default=0)
    fitting = [i for i, ids in enumerate(encoded) if shortest < len(ids) <= longest][:BLOCK]
    assert fitting, f"no evaluation text of {shortest + 1} to {longest} tokens"
    inputs = []
    for ids in (encoded[i] for i in fitting):
        fed = {name: np.zeros((1, longest), np.int32) for name in _INPUTS}
        fed["input_ids"][0, : len(ids)] = ids
        fed["attention_mask"][0, : len(ids)] = 1
        inputs.append(fed)
    return Samples(longest, fitting, [evaluation.texts[i] for i in fitting], inputs)


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture(scope="module")
def peer(dataset: Samples, checkpoint: Checkpoint, cache: Cache) -> Any:
    """ONNX Runtime with the checkpoint in its dynamic int8, one thread."""
    file = _exported(checkpoint, cache, dataset)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _exported(checkpoint: Checkpoint, cache: Cache, dataset: Samples) -> Path:
    """transformers' own model → ONNX → ONNX Runtime's dynamic quantization, as it documents it."""
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process
    from transformers import AutoModelForSequenceClassification

    inputs = {
        "weights": checkpoint.weights_sha256,
        "length": dataset.length,
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }

    def build(folder: Path) -> None:
        model = AutoModelForSequenceClassification.from_pretrained(
            checkpoint.path, dtype=torch.float32
        ).eval()
        example = tuple(torch.from_numpy(dataset.inputs[0][name]) for name in _INPUTS)
        plain, prepared = folder / "float32.onnx", folder / "prepared.onnx"
        torch.onnx.export(
            model,
            example,
            str(plain),
            input_names=list(_INPUTS),
            output_names=["logits"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        quant_pre_process(str(plain), str(prepared))
        quantize_dynamic(str(prepared), str(folder / "model.onnx"), weight_type=QuantType.QInt8)
        plain.unlink()
        prepared.unlink()

    return cache.get_or_build("onnx", inputs, build, code=[]).path / "model.onnx"


def test_the_peer_answers_like_the_checkpoint(
    peer: Any, dataset: Samples, reference_outputs: ReferenceOutputs, check: Check
) -> None:
    """A peer that answers otherwise would be no peer: held to what `dynamic_range` promises."""
    outputs = np.concatenate([peer.run(["logits"], fed)[0] for fed in dataset.inputs])
    expected = np.array(reference_outputs.logits, np.float32)
    spread = logit_spread(expected)
    mean, _ = mean_logit_error(outputs, expected[dataset.indices], spread)
    estimate = Estimate(mean, "of the spread", f"mean over {len(outputs)} texts and classes")
    check.at_most("the peer's logit distance", estimate, MODES["dynamic_range"].mean_logit_error)


@pytest.fixture(scope="module")
def seconds(peer: Any, dataset: Samples, worker_of: OpenWorker) -> Iterator[dict[str, np.ndarray]]:
    """Seconds of the interpreter alone, (blocks, queries), of each contender interleaved."""
    target = Target("host", "ai-edge-litert", "dynamic_range")
    with (
        worker_of(target) as quantized,
        worker_of(Target("host", target.runtime, "float32")) as plain,
    ):

        def invoke(worker: Any) -> Callable[[], np.ndarray]:
            return lambda: (
                worker.measure(dataset.texts, min_queries=BLOCK, min_seconds=0, warm_up=0).invoke
            )

        def ask_peer() -> np.ndarray:
            taken = []
            for n in range(BLOCK):
                fed = dataset.inputs[n % len(dataset.inputs)]
                started = time.perf_counter()
                peer.run(["logits"], fed)
                taken.append(time.perf_counter() - started)
            return np.array(taken)

        contenders = {
            "dynamic_range": invoke(quantized),
            "float32": invoke(plain),
            "ONNX Runtime": ask_peer,
        }
        taken: dict[str, list[np.ndarray]] = {name: [] for name in contenders}
        for ask in contenders.values():
            ask()  # warm-up
        for block in range(BLOCKS):
            for name, ask in list(contenders.items())[:: -1 if block % 2 else 1]:
                taken[name].append(ask())
        yield {name: np.array(blocks) for name, blocks in taken.items()}


@pytest.mark.benchmark(timer=CLOCK, group="invoke")
@pytest.mark.parametrize(
    ("other", "ahead"), [("float32", AHEAD_OF_FLOAT32), ("ONNX Runtime", AHEAD_OF_PEER)]
)
def test_dynamic_range_is_ahead(
    other: str, ahead: float, seconds: dict[str, np.ndarray], check: Check, benchmark: Any
) -> None:
    """How many times as long the other takes, at the same length on the same thread."""
    ratio = ratio_of_medians(seconds[other], seconds["dynamic_range"])
    benchmark.extra_info.update(
        ratio=ratio.value,
        lower=ratio.lower,
        upper=ratio.upper,
        median_ms={name: 1000 * float(np.median(taken)) for name, taken in seconds.items()},
    )
    replay(benchmark, CLOCK, seconds["dynamic_range"].ravel().tolist())
    statistic = f"median ratio of {BLOCKS} blocks interleaved, lower one-sided 95% bound"
    estimate = Estimate(ratio.value, "times as long", statistic, ratio.lower, ratio.upper)
    check.at_least(f"{other} against dynamic_range", estimate, ahead)
