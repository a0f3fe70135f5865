"""The linear opponent learns, and is measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from data.splits import split
from models import linear
from suites.selftest import synthetic

joblib = pytest.importorskip("joblib", reason="the dependency group opponents installs it")


def test_it_learns_and_answers_the_same_in_a_process_of_its_own(tmp_path: Path) -> None:
    splits = split(synthetic.dataset())
    held_out = splits.validation
    train = splits.train
    model, settings = linear.fit(train.texts, train.labels, (held_out.texts, held_out.labels))
    assert settings["C"] in linear.STRENGTHS
    texts, labels = splits.evaluation.texts, splits.evaluation.labels
    here = model.predict(list(texts)).tolist()
    assert here == list(labels), "the words tell the class"
    joblib.dump(model, tmp_path / "linear.joblib")
    command = [sys.executable, "-m", "models.linear", str(tmp_path / "linear.joblib")]
    done = subprocess.run(
        command, input=json.dumps(texts), capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert said["predictions"] == here
    assert len(said["seconds"]) == len(texts)
    assert said["memory_mb"] > 1, "what it imports takes memory"
