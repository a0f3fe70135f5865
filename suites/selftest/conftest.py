"""What the project's own tests of FlatBuffers ask: a few tweets, on real runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices.answers import spread_of_logits
from devices.gateway import Answers
from fixtures.cases import Case
from fixtures.runners import OpenRunner
from models.card import Card
from models.checkpoint import Checkpoint
from models.modes import flatbuffer
from models.store import Store
from tweets.corpus import Corpus

TWEETS = 96

Ask = Callable[[Case, Path], Answers]


@pytest.fixture(scope="session")
def few(evaluation: Corpus) -> Corpus:
    """Some evaluation tweets, classes in proportion."""
    return evaluation.take(evaluation.stratified(TWEETS))


@pytest.fixture(scope="session")
def expected(card: Card, evaluation: Corpus) -> np.ndarray:
    """The candidate's recorded logits for them."""
    return np.array(card.logits, np.float32)[evaluation.stratified(TWEETS)]


@pytest.fixture(scope="session")
def spread(card: Card) -> float:
    """What distances between logits are shares of."""
    return spread_of_logits(np.array(card.logits, np.float32))


@pytest.fixture(scope="session")
def ask(bare_runner: OpenRunner, checkpoint: Checkpoint, few: Corpus) -> Ask:
    """What a FlatBuffer of the candidate answers to them on a case's runtime."""

    def answers(case: Case, path: Path) -> Answers:
        with bare_runner(case) as runner:
            runner.load(path, checkpoint.tokenizer, checkpoint.label_names, case.runtime)
            return runner.classify(few.texts)

    return answers


@pytest.fixture(scope="session")
def path32(checkpoint: Checkpoint, store: Store) -> Path:
    """The candidate's float32 FlatBuffer."""
    return flatbuffer("float32", checkpoint, store)
