"""The gate, run after run: silent about what has not changed, and red for what has.

`tox run -e gate-aa` asks for twenty runs of one unchanged candidate, twenty of one that is slowed
down, and one beside a program that keeps every core busy. About 25 minutes of a quiet machine. What
was measured is written to reports/runs/gate-aa/runs.csv.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OUT = ROOT / "reports" / "runs" / "gate-aa"
RUNS = int(os.environ.get("GATE_RUNS", "20"))
MODE, SLOW_DOWN = "dynamic_range", 0.3
UNCHANGED, REGRESSION, INVALID = 0, 1, 2


def _run(name: str, slow_down: float = 0.0) -> tuple[Path, float | None]:
    """Time float32 and the mode in a run of its own; return its folder and the share."""
    folder = OUT / name
    plugin = ["-p", "suites.long.slow_down"] if slow_down else []
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *plugin,
        "-m",
        "host and (latency or footprint)",
    ]
    options = ["--runtime=ai-edge-litert", "--mode=float32", f"--mode={MODE}"]
    subprocess.run(
        [*command, *options, f"--report-dir={folder}"],
        cwd=ROOT,
        env=os.environ | {"SLOW_DOWN": str(slow_down), "SLOW_MODE": MODE},
        capture_output=True,
        check=False,  # 1: the other claims were not judged
    )
    targets = json.loads((folder / "verdicts.json").read_text())["targets"]
    shares = {t["target"]["mode"]: t["metrics"].get("p90_share_of_float32") for t in targets}
    return folder, shares.get(MODE)


def _gate(folder: Path, baseline: Path) -> tuple[int, str]:
    command = [sys.executable, "fit.py", "gate", str(folder), "--baseline", str(baseline)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def baseline() -> Path:
    """The baseline of three runs; one that the suite calls invalid is none of them."""
    file, folders = OUT / "baseline.json", list[str]()
    for attempt in range(RUNS):
        folder, ratio = _run(f"baseline-{attempt}")
        command = [sys.executable, "fit.py", "baseline", *folders, str(folder), "--out", str(file)]
        status = subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode
        _note(f"baseline-{attempt}", ratio, status)
        if status == 0:
            folders.append(str(folder))
        if len(folders) == 3:
            return file
    raise AssertionError(f"{RUNS} runs, and most were disturbed")


def _note(name: str, ratio: float | None, status: object) -> None:
    with (OUT / "runs.csv").open("a", newline="") as file:
        csv.writer(file).writerow([name, f"{ratio:.4f}" if ratio else "", status])


@pytest.mark.parametrize("slow_down", [0.0, SLOW_DOWN])
def test_the_gate_says_the_same_each_time(baseline: Path, slow_down: float) -> None:
    """No red for what has not changed; red each time for what takes 1.3 times as long.

    A run that the suite itself calls invalid says neither, and is run again.
    """
    wanted = REGRESSION if slow_down else UNCHANGED
    found: list[int] = []
    disturbed = 0
    while len(found) < RUNS:
        name = f"{'slow' if slow_down else 'same'}-{len(found) + disturbed}"
        folder, ratio = _run(name, slow_down)
        status, said = _gate(folder, baseline)
        _note(name, ratio, status)
        if status == INVALID and disturbed < RUNS:
            assert "is invalid" in said
            disturbed += 1
        else:
            found.append(status)
    assert found == [wanted] * RUNS


def _spin() -> None:
    while True:
        pass


@contextmanager
def _busy() -> Iterator[None]:
    """Keep every core busy."""
    spinning = [multiprocessing.Process(target=_spin) for _ in range(os.cpu_count() or 1)]
    for process in spinning:
        process.start()
    try:
        yield
    finally:
        for process in spinning:
            process.kill()


def test_a_disturbed_run_is_neither(baseline: Path) -> None:
    with _busy():
        folder, ratio = _run("disturbed")
    status, said = _gate(folder, baseline)
    _note("disturbed", ratio, status)
    assert status == INVALID
    assert "other processes took" in said
