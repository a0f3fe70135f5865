"""Fixtures of the project's own tests: a few texts, on real runtimes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from common.cache import Cache
from data.dataset import Dataset
from devices.client import Outputs, Worker
from devices.measurement.numerics import logit_spread
from fixtures.run import Run
from fixtures.target import TargetId
from models import modes
from models.checkpoints.checkpoint import Checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs

SAMPLES = 48

Ask = Callable[..., Outputs]
BareWorker = Callable[[TargetId], AbstractContextManager[Worker]]


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
def bare_worker(run: Run) -> BareWorker:
    """Open a worker on this machine with nothing loaded."""
    return lambda target: run.bare_worker(run.boards[target.device], target.runtime)


@pytest.fixture(scope="session")
def ask(run: Run, few: Dataset) -> Ask:
    """Return the outputs of a model file of the candidate for a few texts, on a runtime."""

    def outputs(target: TargetId, path: Path, number: int = SAMPLES) -> Outputs:
        with run.target(target).worker(path) as worker:
            return worker.classify(few.texts[:number])

    return outputs


@pytest.fixture(scope="session")
def path32(checkpoint: Checkpoint, cache: Cache) -> Path:
    """The candidate's float32 FlatBuffer."""
    return modes.build("float32", checkpoint, cache)
