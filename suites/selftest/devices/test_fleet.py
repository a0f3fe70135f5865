"""Boards behind remotes, over a real OpenSSH server, and what becomes of one that fails.

On loopback every board is this machine, so its device is `host`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.cache import Cache
from data.splits import Splits
from devices.boards.board import Board, connect, resolve_boards
from devices.boards.detection import detect
from devices.environments import python_for
from devices.errors import DeviceError, InvokeError, OutOfMemoryError, WorkerError
from devices.measurement import health
from fixtures.options import REFERENCE, ZOO
from models.checkpoints.bundle import open_bundle
from suites.selftest import small_bundle
from suites.selftest.fixtures.test_orphans import await_gone
from suites.selftest.sshd import Server, sshd

ROOT = Path(__file__).parents[3]
CACHE = ROOT / ".cache"
RUNTIME = "ai-edge-litert"
TOKENIZER = ZOO / "mobilebert-brands" / "tokenizer.json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, splits: Splits, cache: Cache) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "few.zip"
    return small_bundle.write(out, ZOO / "mobilebert-brands", Path(REFERENCE), splits, cache)


@pytest.fixture
def board(server: Server) -> Board:
    return connect(server.spec(python=str(python_for(RUNTIME, CACHE))))


# One board


def test_a_board_is_asked_what_it_is_through_its_runner(board: Board) -> None:
    assert board.machine == detect()
    assert board.name == "host"


def test_a_file_is_put_on_the_board_once_and_verified_each_time(
    board: Board, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "it's a file.bin"
    file.write_bytes(bytes(range(256)) * 4000)
    there = Path(board.put(file))
    assert there.is_relative_to(server.home)
    assert there.read_bytes() == file.read_bytes()
    written = there.stat().st_mtime_ns
    assert board.put(file) == str(there)
    assert there.stat().st_mtime_ns == written
    there.write_bytes(b"damaged")
    assert Path(board.put(file)).read_bytes() == file.read_bytes()
    assert [path.name for path in there.parent.iterdir()] == [file.name], (
        "nothing half-copied stays"
    )


def test_a_full_board_is_told_from_a_lost_one(board: Board, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(b"x" * 1000)
    cache = server.home / ".cache"
    cache.mkdir(exist_ok=True)
    cache.joinpath("fit-for-device").rename(server.home / "kept")
    (cache / "fit-for-device").touch()  # no folder can be made in a file's place
    try:
        with pytest.raises(WorkerError, match=r"host: `sh` ended with status 1: .*fit-for-device"):
            board.put(file)
    finally:
        (cache / "fit-for-device").unlink()
        (server.home / "kept").rename(cache / "fit-for-device")


def test_a_connection_lost_in_the_middle_is_an_error_and_no_silence(
    board: Board, server: Server, bundle: Path, tmp_path: Path
) -> None:
    model_file = open_bundle(bundle, tmp_path).model_file(small_bundle.MODE)
    with board.worker(RUNTIME) as worker:
        worker.load(board.put(model_file), board.put(TOKENIZER), ("a", "b", "c"), RUNTIME)
        there = int((worker.read("/proc/self/stat") or "").split()[0])
        cut = threading.Timer(1, server.lose_connections)
        cut.start()
        with pytest.raises(WorkerError, match=r"measure: lost the worker at .*(?s:.)*closed"):
            worker.measure(["a text"], min_queries=1, min_seconds=600)
    await_gone({there})
    with board.worker(RUNTIME) as worker:  # and the board is still there
        assert worker.read("/proc/uptime")


def test_a_board_that_kills_for_want_of_memory_is_said_to(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WorkerError) as lost, board.worker(RUNTIME) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        worker.read("/proc/uptime")
    assert not isinstance(lost.value, OutOfMemoryError)
    counts = iter((0, 1))
    monkeypatch.setattr(health, "out_of_memory_kills", lambda read: next(counts))
    ran_out = pytest.raises(OutOfMemoryError, match="host ran out of memory")
    with ran_out, board.worker(RUNTIME) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        worker.read("/proc/uptime")


def test_which_signal_a_runner_died_of_is_known_across_ssh(board: Board, tmp_path: Path) -> None:
    planted = plant(tmp_path, "os.kill(os.getpid(), signal.SIGABRT)")
    own = f"{board.remote}//env:PYTHONPATH={planted}"
    (tmp_path / "any.tflite").touch()
    with connect(own).worker(RUNTIME) as worker:
        worker.load(tmp_path / "any.tflite", TOKENIZER, ("a", "b", "c"), RUNTIME)
        with pytest.raises(InvokeError, match="died of SIGABRT"):
            worker.classify(["a text"])


# A fleet


def plant(folder: Path, deed: str) -> Path:
    """A folder for PYTHONPATH whose runtime does `deed` at its first invoke."""
    package = folder / "planted" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(
        textwrap.dedent(
            f"""
            import os, signal
            import numpy as np

            def answer(**inputs):
                {deed}

            class Signature:
                def get_input_details(self):
                    names = ("input_ids", "attention_mask")
                    shape = [1, 64]
                    tensor = {{"dtype": np.int32, "shape": shape, "shape_signature": shape}}
                    return {{name: tensor for name in names}}
                def get_output_details(self):
                    return {{"logits": {{"dtype": np.float32, "shape": [1, 3]}}}}
                __call__ = staticmethod(answer)

            class Interpreter:
                def __init__(self, model_path, num_threads): pass
                def allocate_tensors(self): pass
                def get_signature_list(self): return {{"only": {{}}}}
                def get_signature_runner(self, key): return Signature()
            """
        )
    )
    return package.parent


def test_a_board_that_fails_has_its_own_verdict_and_the_others_theirs(
    server: Server, bundle: Path, tmp_path: Path
) -> None:
    good = str(python_for(RUNTIME, CACHE))
    small = tmp_path / "python-small"
    small.write_text(f'#!/bin/sh\nulimit -v 120000\nexec {good} "$@"\n')
    small.chmod(0o755)
    # What serves the connection is the parent of the worker, or of the shell that it is in.
    cut = plant(tmp_path, "os.kill(int(open(f'/proc/{os.getppid()}/stat').read().split()[3]), 9)")
    remotes = [
        server.spec(id="kitchen", python=good),
        server.spec("stranger", id="locked", python=good),
        server.spec(id="bare", python="/usr/bin/python3"),
        server.spec(id="small", python=str(small)),
        server.spec(id="cut", python=good) + f"//env:PYTHONPATH={cut}",
    ]
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "host and (memory or privacy)",
            f"--bundle={bundle}",
            f"--runtime={RUNTIME}",
            f"--report-dir={tmp_path / 'report'}",
            *(f"--remote={spec}" for spec in remotes),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    report = json.loads((tmp_path / "report" / "verdicts.json").read_text())
    found = {
        record["target"]["device"]: (record["verdict"], record["reason"])
        for record in report["records"]
        if record["claim"] == "privacy"
    }
    wanted = {
        "host@kitchen": ("passes", "no attempt"),
        "host@locked": ("invalid", "Permission denied"),
        "host@bare": ("cannot run", "lacks ai-edge-litert"),
        "host@small": ("cannot run", "OutOfMemoryError"),
        "host@cut": ("invalid", "closed by remote host"),
    }
    assert found.keys() == wanted.keys()
    for name, (verdict, said) in wanted.items():
        assert found[name][0] == verdict, (name, found[name])
        assert said in found[name][1], (name, found[name])
    kitchen = next(c for c in report["targets"] if c["target"]["device"] == "host@kitchen")
    assert kitchen["metrics"]["memory_mb"] > 10
    assert set(report["metadata"]["machine_info"]) == set(wanted)
    for name in wanted:
        assert name in run.stdout


def test_boards_are_told_apart_and_must_be_those_named(server: Server, tmp_path: Path) -> None:
    first, second = server.spec(id="a"), server.spec(id="b")
    assert [b.name for b in resolve_boards(["host"], [first, second], tmp_path)] == [
        "host@a",
        "host@b",
    ]
    with pytest.raises(DeviceError, match=r"//id=NAME"):
        resolve_boards(["host"], [server.spec()] * 2, tmp_path)
    with pytest.raises(DeviceError, match=r"is 'host': .*; asked for pi4"):
        resolve_boards(["pi4"], [first], tmp_path)
    (lost,) = resolve_boards(["pi4"], [server.spec("nobody", id="x")], tmp_path)
    assert (lost.name, lost.profile.name) == ("pi4@x", "pi4")
    with pytest.raises(WorkerError, match=r"was not reached: (?s:.)*refused"), lost.worker(RUNTIME):
        pass
    with pytest.raises(DeviceError, match="Name the device behind it with -m"):
        resolve_boards([], [server.spec("nobody")], tmp_path)
