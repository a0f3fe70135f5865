"""What the project's own tests of FlatBuffers ask: a few texts, on real runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.cache import Cache
from data.dataset import Dataset
from devices.client import Outputs
from devices.measurement.numerics import logit_spread
from fixtures.matrix import Target
from fixtures.target import OpenWorker
from models import modes
from models.checkpoints.checkpoint import Checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs

SAMPLES = 96

Ask = Callable[[Target, Path], Outputs]


@pytest.fixture(scope="session")
def few(evaluation: Dataset) -> Dataset:
    """Some evaluation texts, classes in proportion."""
    return evaluation.take(evaluation.stratified(SAMPLES))


@pytest.fixture(scope="session")
def expected(reference_outputs: ReferenceOutputs, evaluation: Dataset) -> np.ndarray:
    """The candidate's recorded logits for them."""
    return np.array(reference_outputs.logits, np.float32)[evaluation.stratified(SAMPLES)]


@pytest.fixture(scope="session")
def spread(reference_outputs: ReferenceOutputs) -> float:
    """What distances between logits are shares of."""
    return logit_spread(np.array(reference_outputs.logits, np.float32))


@pytest.fixture(scope="session")
def ask(bare_worker: OpenWorker, checkpoint: Checkpoint, few: Dataset) -> Ask:
    """What a FlatBuffer of the candidate answers to them on a target's runtime."""

    def outputs(target: Target, path: Path) -> Outputs:
        with bare_worker(target) as worker:
            worker.load(path, checkpoint.tokenizer, checkpoint.label_names, target.runtime)
            return worker.classify(few.texts)

    return outputs


@pytest.fixture(scope="session")
def path32(checkpoint: Checkpoint, cache: Cache) -> Path:
    """The candidate's float32 FlatBuffer."""
    return modes.build("float32", checkpoint, cache)
