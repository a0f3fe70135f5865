"""An emulated board: its own binaries answer, its memory is imposed, its instructions counted.

What runs under QEMU runs the shipped candidate; each takes seconds once the board is provisioned.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from common.cache import Cache
from data.dataset import Dataset
from devices import op_support
from devices.boards import emulation, memory_limit
from devices.boards.board import Board, emulated, resolve_boards
from devices.boards.memory_limit import MemoryLimits, memory_limits
from devices.client import Outputs, Worker
from devices.errors import (
    DeviceError,
    OutOfMemoryError,
    ProvisionError,
    SilentlyWrongError,
    WorkerError,
)
from devices.measurement import instruction_count
from devices.measurement.instruction_count import instructions
from devices.measurement.numerics import require_valid_outputs
from devices.profile import profile, profiles
from devices.runtimes import RUNTIMES
from fit import main
from models import modes
from models.checkpoints.checkpoint import Checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.tflite.flatbuffer import MODEL_FILE
from models.tflite.quantizer import quantize, rule
from models.tflite.transformations import share

BOARDS = [name for name in profiles() if name != "host"]
# Of the shipped candidate in dynamic range, ai-edge-litert 2.1.0, a text of 24 tokens.
INSTRUCTIONS = 161_390_000


@pytest.fixture(scope="module")
def pi4(cache: Cache) -> Board:
    return emulated("pi4", cache.root)


@pytest.fixture(scope="module")
def dynamic_range(checkpoint: Checkpoint, cache: Cache) -> Path:
    return modes.build("dynamic_range", checkpoint, cache)


@pytest.fixture(scope="module")
def short(evaluation: Dataset) -> list[int]:
    """Two texts that take little time and get different labels."""
    return [i for i, text in enumerate(evaluation.texts) if len(text) <= 40][:2]


# What it is


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_can_be_emulated_and_says_so(name: str, tmp_path: Path) -> None:
    board = emulated(name, tmp_path)
    about = board.machine.description
    assert board.name == f"{name}@qemu"
    assert "emulated" in about and "QEMU's cortex-a" in about
    assert "Debian Bookworm's userland" in about
    assert ("not JetPack 4" in about) == (name == "jetson_nano")
    assert "cortex-a57" in about or name != "jetson_nano"


def test_its_runtimes_are_named_and_probed(pi4: Board) -> None:
    assert pi4.release("ai-edge-litert") == "ai-edge-litert==2.1.0"
    for name, runtime in RUNTIMES.items():
        operator = "ADD v1" if runtime.format == "tflite" else "Add v1"
        assert op_support.refused([operator], pi4.release(name)) == []
    # Newer than 2.1.0 and known to 2.3.0: the row is of the release that the board has.
    assert op_support.refused(["CONCATENATION v7"], pi4.release("ai-edge-litert"))
    assert not op_support.refused(["CONCATENATION v7"], RUNTIMES["ai-edge-litert"].requirements[0])


def test_a_profile_without_a_cpu_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"host cannot be emulated: .* \[emulation\]"):
        emulated("host", tmp_path)
    with pytest.raises(DeviceError, match="name a board with -m"):
        resolve_boards(["host"], [], tmp_path, emulate=True)


# Provisioning


def test_what_was_interrupted_is_made_anew_and_what_is_there_is_kept(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ProvisionError("the network")

    def make(folder: Path) -> None:
        assert not (folder / "half").exists()
        (folder / "whole").touch()

    for _ in range(2):
        with pytest.raises(ProvisionError):
            emulation.made_once(tmp_path, "thing", ["1"], fail)
    folder = emulation.made_once(tmp_path, "thing", ["1"], make)
    assert [path.name for path in folder.iterdir()] == ["whole"]
    assert emulation.made_once(tmp_path, "thing", ["1"], fail) == folder
    assert emulation.made_once(tmp_path, "thing", ["2"], make) != folder


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        folders = pool.starmap_async(_make_slowly, [(tmp_path,)] * 2).get(timeout=600)
    assert len(set(folders)) == 1
    assert (folders[0] / "log").read_text() == "made\n"


def _make_slowly(cache: Path) -> Path:
    return emulation.made_once(cache, "thing", ["slow"], _append)


def _append(folder: Path) -> None:
    with (folder.parents[1] / "count").open("a") as log:
        log.write("made\n")
    shutil.copy(folder.parents[1] / "count", folder / "log")


def test_a_machine_without_apt_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProvisionError, match="no apt-get: run it on Debian Bookworm"):
        emulation.qemu(tmp_path)


def test_a_qemu_of_another_version_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "qemu-aarch64"
    for said, taken in (("9.1.0", False), ("7.2.0", True), ("6.2.0", False)):
        fake.write_text(f"#!/bin/sh\necho qemu-aarch64 version {said}\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
        if taken:
            assert emulation.qemu(tmp_path) == fake
        else:  # then it looks for Debian's, and there is no apt
            with pytest.raises(ProvisionError, match="no apt-get"):
                emulation.qemu(tmp_path)


# Answers


def test_the_boards_own_binaries_answer_as_the_checkpoint_does(
    pi4: Board,
    checkpoint: Checkpoint,
    dynamic_range: Path,
    reference_outputs: ReferenceOutputs,
    evaluation: Dataset,
    short: list[int],
    spread: float,
) -> None:
    """And its guard is in force: nothing of the worker is weaker for being emulated."""
    with pi4.worker("ai-edge-litert") as worker:
        loaded = worker.load(
            dynamic_range, checkpoint.tokenizer, checkpoint.label_names, "ai-edge-litert"
        )
        outputs = worker.classify(evaluation.take(short).texts)
        assert loaded.machine == "aarch64"
        assert (loaded.version, worker.environment()["numpy"]) == ("2.1.0", "1.26.4")
        require_valid_outputs(
            outputs.logits, np.array(reference_outputs.logits)[short], spread, "emulated"
        )
        assert outputs.predictions.tolist() == [reference_outputs.predictions[i] for i in short]
        # Its translations are its only memory of that kind, and are told apart.
        assert 10 < emulation.translations_mb(worker.pid) < 135
        assert worker.guard().attempts == ()


def test_the_guard_of_an_emulated_runner_sees_what_is_tried(
    pi4: Board, cache: Cache, tmp_path: Path
) -> None:
    """Without QEMU's help: the limits and the namespace are this kernel's."""
    attempt = (
        "import socket, resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, lambda *_: print('SIGXFSZ'))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try:\n    open(sys.argv[1], 'wb', buffering=0).write(b'x')\n"
        "except OSError as error: print(error.errno)\n"
        "try:\n    socket.create_connection(('127.0.0.1', 9), 1)\n"
        "except OSError as error: print(error.errno)\n"
    )
    command = emulation.bare_command(pi4.profile, cache.root)
    permitted = subprocess.run(["unshare", "-rn", "true"], check=False).returncode == 0
    isolate = ["unshare", "-rn"] if permitted else []
    done = subprocess.run(
        [*isolate, *command, "-B", "-c", attempt, str(tmp_path / "file")],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert done.stdout.split() == ["SIGXFSZ", "27", "101" if isolate else "111"]


def test_silent_zeros_are_caught_on_the_boards_own_runtime(
    pi4: Board,
    checkpoint: Checkpoint,
    cache: Cache,
    reference_outputs: ReferenceOutputs,
    evaluation: Dataset,
    short: list[int],
    spread: float,
    tmp_path: Path,
) -> None:
    """tflite-runtime 2.14's aarch64 wheel too: one answer for every text."""
    path = tmp_path / MODEL_FILE
    source = modes.build("float32", checkpoint, cache)
    path.write_bytes(share(quantize(source, (rule(8, granularity="CHANNELWISE"),))))
    with pi4.worker("tflite-runtime") as worker:
        worker.load(path, checkpoint.tokenizer, checkpoint.label_names, "tflite-runtime")
        outputs = worker.classify(evaluation.take(short).texts)
    with pytest.raises(SilentlyWrongError, match="to every one of 2 texts, without an error"):
        require_valid_outputs(
            outputs.logits, np.array(reference_outputs.logits)[short], spread, "emulated"
        )


# Memory

V1 = "5:memory:/job\n1:cpu:/\n"
MOUNT_V1 = "32 31 0:29 / /cg/memory rw shared:1 - cgroup cgroup rw,memory\n"
MOUNT_V2 = "33 31 0:30 / /cg rw shared:2 - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.mark.parametrize(
    ("own", "mounts", "controllers", "found"),
    [
        (V1, MOUNT_V1, {}, (1, "cg/memory/job")),
        ("0::/a/b\n", MOUNT_V2, {"a/b": "memory pids"}, (2, "cg/a/b")),
        # A cgroup with processes in it hands nothing on; the one above it does.
        ("0::/a/b\n", MOUNT_V2, {"a": "cpu memory"}, (2, "cg/a")),
        ("0::/a/b\n", MOUNT_V2, {"a": "cpu"}, "hands no memory controller on"),
        (V1 + "0::/\n", MOUNT_V2 + MOUNT_V1, {}, (1, "cg/memory/job")),
        (V1, "", {}, "the kernel has no memory controller"),
        (None, "", {}, "no cgroups here"),
    ],
)
def test_where_memory_can_be_limited(
    own: str | None, mounts: str, controllers: dict[str, str], found: object, tmp_path: Path
) -> None:
    proc = tmp_path / "proc/self"
    proc.mkdir(parents=True)
    (proc / "mountinfo").write_text(mounts)
    if own is not None:
        (proc / "cgroup").write_text(own)
    for folder in ("cg/memory/job", "cg/a/b"):
        (tmp_path / folder).mkdir(parents=True)
    for folder, names in controllers.items():
        (tmp_path / "cg" / folder / "cgroup.subtree_control").write_text(names)
    limits = memory_limits(tmp_path)
    if isinstance(found, str):
        assert isinstance(limits, str) and found in limits
    else:
        assert isinstance(limits, MemoryLimits)
        assert (limits.version, limits.folder) == (found[0], tmp_path / found[1])  # type: ignore[index]


@pytest.fixture
def limits() -> MemoryLimits:
    found = memory_limits()
    if isinstance(found, str):
        pytest.skip(f"no memory can be imposed here: {found}")
    return found


def take(limits: MemoryLimits, megabytes: int) -> int:
    """How a process ends that takes so much memory where 80 MB are the limit."""
    ask = [sys.executable, "-c", f"b'x' * {megabytes}_000_000"]
    command = [*limits.confined(80_000_000), *ask]
    return subprocess.run(command, check=False, timeout=600).returncode


def test_a_process_gets_no_more_memory_than_its_limit(limits: MemoryLimits) -> None:
    assert take(limits, 40) == 0
    assert take(limits, 160) == -9
    memory_limit.remove_stale(limits.folder)
    assert not list(limits.folder.glob(f"*-{os.getpid()}-*"))


def test_a_mode_that_does_not_fit_the_board_fails_there(
    limits: MemoryLimits, pi4: Board, checkpoint: Checkpoint, cache: Cache
) -> None:
    """float32 on a Pi 4 of 200 MB."""
    small = replace(pi4.profile, memory_mb=200)
    board = replace(pi4, spec=lambda runtime: emulation.spec(small, runtime, cache.root))
    assert "200 MB imposed by a memory cgroup" in emulation.imposed(small)
    path = modes.build("float32", checkpoint, cache)
    with (
        pytest.raises(OutOfMemoryError, match="pi4@qemu ran out of memory"),
        board.worker("ai-edge-litert") as worker,
    ):
        worker.load(path, checkpoint.tokenizer, checkpoint.label_names, "ai-edge-litert")
    lost = "pi4@qemu ran out of memory: load: lost the worker at pi4@qemu: it died of SIGKILL"
    with pytest.raises(OutOfMemoryError, match=lost):
        instructions(
            small,
            "ai-edge-litert",
            cache.root,
            model_file=path,
            tokenizer=checkpoint.tokenizer,
            label_names=checkpoint.label_names,
        )


def test_what_is_killed_elsewhere_for_want_of_memory_is_not_taken_for_the_board(
    limits: MemoryLimits, pi4: Board
) -> None:
    with pytest.raises(WorkerError) as lost, pi4.worker("ai-edge-litert") as worker:
        assert take(limits, 160) == -9
        os.kill(worker.pid, signal.SIGKILL)
        worker.environment()
    assert "lost the worker at pi4@qemu: it died of SIGKILL (sent from" in str(lost.value)
    assert "-cpu" not in str(lost.value), "the emulator's command"
    assert not isinstance(lost.value, OutOfMemoryError)


def test_a_limit_that_cannot_be_imposed_is_said(
    pi4: Board, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulation, "memory_limits", lambda: "/sys/fs/cgroup may not be written")
    assert emulation.imposed(pi4.profile) == "memory not imposed: /sys/fs/cgroup may not be written"
    assert emulation.command(pi4.profile, cache.root)[0].endswith("qemu-aarch64")


# Instructions


def test_the_same_instructions_on_every_machine(
    pi4: Board, checkpoint: Checkpoint, dynamic_range: Path, cache: Cache
) -> None:
    """Within a quarter of what the gate is to find, of what another machine once counted."""
    found = instructions(
        pi4.profile,
        "ai-edge-litert",
        cache.root,
        model_file=dynamic_range,
        tokenizer=checkpoint.tokenizer,
        label_names=checkpoint.label_names,
        tokens=24,
    )
    assert list(found.instructions) == [24]
    assert found.instructions[24] == pytest.approx(INSTRUCTIONS, rel=0.005)
    assert found.spread < 0.002


def test_a_tweet_is_not_charged_for_its_request_nor_for_the_first_answer() -> None:
    """On a real board both are a small share of it: here a request costs as much as a text, and
    the first answer nine times that."""
    executed = asked = 0

    class Stub:
        def classify(self, texts: list[str]) -> Outputs:
            self.measure(texts, min_queries=1)
            tokens = tuple(len(text.split()) + 2 for text in texts)
            none = np.zeros((1, 3), np.float32), np.zeros(1, np.int64), ("a", "b", "c")
            return Outputs(*none, tokens, 0)

        def measure(self, texts: list[str], *, min_queries: int, **more: float) -> None:
            nonlocal executed, asked
            executed += 1_000_000
            for _ in range(min_queries):
                executed += 1_000_000 if asked else 9_000_000
                asked += 1

    assert (
        instruction_count.instructions_of_a_text(cast(Worker, Stub()), lambda: executed, 24)
        == 1_000_000
    )
    assert asked == 2


def test_a_plugin_that_cannot_be_compiled_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instruction_count, "SOURCE", tmp_path / "broken.c")
    (tmp_path / "broken.c").write_text("int broken(")
    with pytest.raises(ProvisionError, match=r"broken\.c could not be compiled"):
        instruction_count.plugin(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProvisionError, match="takes a C compiler: `apt install gcc"):
        instruction_count.plugin(tmp_path)


def test_the_command_says_what_is_projected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    counted = instruction_count.InstructionCount({24: 150_000_000}, 0.0001)
    monkeypatch.setattr(
        "devices.measurement.instruction_count.instructions", lambda *_, **__: counted
    )
    assert main(["count", "a.tflite", "tokenizer.json", "--device", "pi4"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "pi4 ai-edge-litert 24 tokens: 150.0 M instructions, projected 53 to 111 ms"
    )
    mute = replace(profile("pi4"), projection=None)
    monkeypatch.setattr("devices.commands.profile", {"pi4": mute}.__getitem__)
    assert main(["count", "a.tflite", "tokenizer.json", "--device", "pi4"]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said.endswith("150.0 M instructions, pi4: nothing is projected without [projection]")
    monkeypatch.undo()
    assert main(["count", "a.tflite", "tokenizer.json", "--device", "pi6"]) == 2
    assert "unknown device 'pi6'" in capsys.readouterr().err
