"""A FlatBuffer that was not made here is judged as far as can be known, and no further."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fixtures.subjects
from fixtures.brought import BROUGHT, Brought
from fixtures.cases import Case
from models.card import file_sha256
from models.checkpoint import Checkpoint
from models.modes import flatbuffer
from models.store import Store
from reports.decision import Undecided

ROOT = Path(__file__).parents[2]


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-m", "host", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--labels=a,b,c"], "of which --flatbuffer?"),
        (["--flatbuffer=no.tflite"], "No such file"),
        (["--flatbuffer=tox.ini", "--labels=a,b"], "name both its --tokenizer and its --labels"),
        (["--flatbuffer=tox.ini"], "not a FlatBuffer of TensorFlow Lite"),
    ],
)
def test_what_is_no_whole_request_is_refused(arguments: list[str], said: str) -> None:
    run = _pytest(*arguments)
    assert run.returncode == 4, run.stdout + run.stderr
    assert said in run.stdout + run.stderr


def test_alone_what_needs_a_card_is_undecided(
    checkpoint: Checkpoint, store: Store, tmp_path: Path
) -> None:
    path = flatbuffer("dynamic_range", checkpoint, store)
    run = _pytest(
        "--runtime=ai-edge-litert", "-k", "dtypes or size_is or bound_by_name or like_its",
        f"--flatbuffer={path}", f"--tokenizer={checkpoint.path}",
        f"--labels={','.join(checkpoint.label_names)}", f"--report-dir={tmp_path}",
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    report = json.loads((tmp_path / "verdicts.json").read_text())
    assert report["subject"]["flatbuffer"] == f"{path.name}, sha256 {file_sha256(path)}"
    records = report["records"]
    verdicts = {r["nodeid"].split("::")[1]: r["verdict"] for r in records if r["measurements"]}
    assert verdicts == {
        "test_dtypes_are_what_the_mode_promises[host-litert-dynamic_range]": "ships",
        "test_size_is_what_the_mode_promises[host-litert-dynamic_range]": "ships",
        "test_inputs_are_bound_by_name[host-litert-dynamic_range]": "ships",
    }
    (found,) = (r for r in records if "like_its_checkpoint" in r["nodeid"])
    assert found["verdict"] == "undecided"
    assert "has no card" in found["reason"]


def test_it_is_not_timed_against_itself(
    checkpoint: Checkpoint, store: Store, tmp_path: Path, pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    """But against the float32 of its checkpoint, if that was named."""
    file, own = tmp_path / "brought.tflite", tmp_path / "own.tflite"
    monkeypatch.setattr(fixtures.subjects, "flatbuffer", lambda *_: own)
    quantized, plain = (Case("host", "ai-edge-litert", m) for m in ("dynamic_range", "float32"))

    def flatbuffer_of(alone: Checkpoint | None) -> Any:
        stash = {BROUGHT: Brought(file, "dynamic_range", alone)}
        config = SimpleNamespace(stash=stash, pluginmanager=pytestconfig.pluginmanager)
        given: Any = inspect.unwrap(fixtures.subjects.flatbuffer_of)
        return given(checkpoint, store, None, config, request)

    assert flatbuffer_of(None)(quantized) == flatbuffer_of(checkpoint)(quantized) == file
    assert flatbuffer_of(None)(plain) == own
    with pytest.raises(Undecided, match="no float32 FlatBuffer of it was brought"):
        flatbuffer_of(checkpoint)(plain)
