"""A file for MediaPipe: its TextClassifier, which nobody here wrote, answers as our worker does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from common.cache import Cache
from data.dataset import Dataset
from data.slices import softmax
from data.splits import Splits
from fit import main
from fixtures.target import TargetId
from models import modes
from models.checkpoints.checkpoint import Checkpoint, open_checkpoint
from models.errors import ExportError
from models.tflite.task_file import read_otherwise, task_file
from suites.selftest import synthetic
from suites.selftest.conftest import BareWorker

TARGET = TargetId("host", "ai-edge-litert", "dynamic_range")
TEXTS = 24
# In a process of its own: MediaPipe brings a second TensorFlow Lite along. What it imports for
# pictures and sound is not installed.
ASK = """
import json, sys, types

for name in ("cv2", "matplotlib", "matplotlib.pyplot", "sounddevice"):
    sys.modules[name] = types.ModuleType(name)
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.text import text_classifier

options = text_classifier.TextClassifierOptions(
    base_options=BaseOptions(model_asset_path=sys.argv[1])
)
with text_classifier.TextClassifier.create_from_options(options) as classifier:
    for text in json.load(sys.stdin):
        (head,) = classifier.classify(text).classifications
        print(json.dumps({one.category_name: one.score for one in head.categories}))
"""


@pytest.fixture(scope="module")
def file(
    checkpoint: Checkpoint, cache: Cache, splits: Splits, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    made = modes.build("dynamic_range", checkpoint, cache, splits.calibration)
    path = tmp_path_factory.mktemp("mediapipe") / "model.tflite"
    path.write_bytes(task_file(made.read_bytes(), checkpoint, 64))
    return path


def test_mediapipe_answers_as_the_worker_does(
    file: Path, checkpoint: Checkpoint, cache: Cache, evaluation: Dataset, bare_worker: BareWorker
) -> None:
    if find_spec("mediapipe") is None:
        pytest.skip("MediaPipe is not installed; tox -e selftest does it")
    others = set(read_otherwise(checkpoint, evaluation.texts[:100]))
    texts = [text for n, text in enumerate(evaluation.texts[:100]) if n not in others][:TEXTS]
    assert len(texts) == TEXTS
    asked = subprocess.run(
        [sys.executable, "-c", ASK, str(file)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | {"GLOG_minloglevel": "2"},
    )
    assert asked.returncode == 0, asked.stderr
    scores = [json.loads(line) for line in asked.stdout.splitlines() if line.startswith("{")]
    theirs = np.array([[score[name] for name in checkpoint.label_names] for score in scores])
    with bare_worker(TARGET) as worker:
        worker.load(
            modes.build("dynamic_range", checkpoint, cache),
            checkpoint.tokenizer,
            checkpoint.label_names,
            TARGET.runtime,
        )
        ours = softmax(worker.classify(texts, length=64).logits)
    assert (theirs.argmax(1) == ours.argmax(1)).all()
    np.testing.assert_allclose(theirs, ours, atol=0.01)


def test_the_file_carries_vocabulary_and_labels(file: Path, checkpoint: Checkpoint) -> None:
    with zipfile.ZipFile(file) as archive:
        labels = archive.read("labels.txt").decode().split("\n")
        pieces = archive.read("vocab.txt").decode().split("\n")
    assert tuple(labels[:-1]) == checkpoint.label_names
    assert pieces.index("[CLS]") and "[UNK]" in pieces
    assert b"TFLITE_METADATA" in file.read_bytes()


def test_what_mediapipe_reads_otherwise_is_known(checkpoint: Checkpoint) -> None:
    """Accents, and capitals beyond ASCII."""
    texts = ["a plain text", "un café", "ÉTÉ", "@you: https://t.co/x!"]
    assert read_otherwise(checkpoint, texts) in ([1, 2], [2])


def test_another_length_is_refused(file: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(ExportError, match=r"--length 33: this model has signatures of 64"):
        task_file(file.read_bytes(), checkpoint, 33)


def test_another_tokenizer_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic.write_checkpoint(tmp_path / "mine", "roberta", ("negative", "neutral", "positive"))
    out = tmp_path / "model.tflite"
    assert main(["export", str(tmp_path / "mine"), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "MediaPipe's TextClassifier takes lower-case WordPiece" in said
    assert "Traceback" not in said and not out.exists()


def test_two_pieces_of_one_id_are_refused_in_one_sentence(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    said = json.loads(checkpoint.tokenizer.read_text())
    said["model"]["vocab"]["another"] = said["model"]["vocab"]["[UNK]"]
    shutil.copytree(checkpoint.path, tmp_path / "mine")
    (tmp_path / "mine" / "tokenizer.json").write_text(json.dumps(said))
    with pytest.raises(ExportError, match="two pieces have one id"):
        read_otherwise(open_checkpoint(str(tmp_path / "mine")), ["a text"])
