"""A small student learns from its teacher's answers, and is judged like any checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.splits import Splits, split
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs
from suites.selftest import synthetic
from suites.selftest.synthetic import NAMES

torch = pytest.importorskip("torch", reason="training needs PyTorch; tox -e selftest installs it")

from models.training.finetune import finetune  # noqa: E402
from models.training.hyperparameters import Hyperparameters  # noqa: E402
from models.training.small_student import SmallHyperparameters, distill_small  # noqa: E402

HP = SmallHyperparameters(
    epochs=8, learning_rate=3e-2, batch_size=32, width=16, bigram_rows=32, copies=1
)
KINDS = {"static_embedding": 0, "text_cnn": 32}


@pytest.fixture(scope="module")
def splits() -> Splits:
    """Made-up texts whose words tell the class."""
    return split(synthetic.dataset())


@pytest.fixture(scope="module")
def teacher(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that knows them."""
    folder = tmp_path_factory.mktemp("teacher")
    encoder = synthetic.write_bert(folder / "encoder")
    finetune(str(encoder), splits, folder / "tuned", Hyperparameters(2, 5e-3, batch_size=16))
    return folder / "tuned"


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_from_its_teacher_and_is_a_checkpoint(
    kind: str, teacher: Path, splits: Splits, tmp_path: Path
) -> None:
    hp = replace(HP, kind=kind, hidden_size=KINDS[kind])
    outputs = distill_small([str(teacher)], splits, tmp_path, hp)
    right = np.mean(np.array(outputs.predictions) == np.array(splits.evaluation.labels))
    assert right > 0.9, "the words tell the class; it learned nothing"
    checkpoint = open_checkpoint(str(tmp_path))
    assert (checkpoint.config["model_type"], checkpoint.label_names) == (kind, NAMES)
    recorded = ReferenceOutputs.load(tmp_path / "reference_outputs.json")
    recorded.require(splits.evaluation, tmp_path)
    assert recorded.holds_probes(list(checkpoint.probes()))
    made = recorded.provenance["hyperparameters"]
    assert (made["kind"], made["copies"]) == (kind, 1)
    assert "layers" not in made, "of an encoder, which it is not"
