"""Boards: the machines of a run, where workers are started and files are put.

Three kinds, and to a suite they look alike: this machine, one behind an execnet remote, and one
that is emulated here.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from filelock import FileLock

from common.process import run
from devices.boards import emulation
from devices.boards.detection import Machine, detect, reader
from devices.client import Worker, parse, ssh
from devices.environments import has_runtime, python_for
from devices.errors import DeviceError, NoRuntimeError, OutOfMemoryError, WorkerError
from devices.measurement import energy, health
from devices.profile import Profile, profile
from devices.runtimes import RUNTIMES

# How long a board may take to start a bare Python, a loaded Pi Zero included.
START_S = 180.0
# The slowest transfer that is waited for, in bytes a second.
SLOWEST = 200_000
# Below the home of whoever logs in there.
CACHE = ".cache/fit-for-device"


class BoardProperty(StrEnum):
    """What of a board an expected failure may depend on."""

    EMULATED = "emulated"
    NO_INT8_DOT_PRODUCT = "no_int8_dot_product"


@dataclass(frozen=True)
class Board:
    """One machine of a run.

    Attributes:
        name: what ids and reports call it: its device, and `@id` where its remote has an id.
        profile: what is demanded of it.
        machine: what it is: detected, or what an emulated one stands for.
        spec: the execnet spec of a worker with this runtime.
        remote: the spec that it is behind, or nothing.
        emulated: whether its time is nobody's.
        is_provisioned: whether its runtimes are those that pyproject.toml pins.
        meter: what it measures its own power with, if anything.
        fault: why it cannot be asked anything, or None.
        folder: where files that are made for it are kept, if that is on this machine.
    """

    name: str
    profile: Profile
    machine: Machine
    spec: Callable[[str], str]
    remote: str = ""
    emulated: bool = False
    is_provisioned: bool = False
    meter: energy.Meter | None = None
    fault: str | None = None
    folder: Path | None = None

    def offers(self, runtime: str) -> bool:
        """Whether it can have a runtime, as far as this project decides it."""
        return not self.emulated or emulation.has(runtime)

    def release(self, runtime: str) -> str:
        """What of a runtime is there as far as this project decides it, such as ``NAME==1.0``."""
        return emulation.release(runtime) if self.emulated else RUNTIMES[runtime].requirements[0]

    @property
    def properties(self) -> frozenset[BoardProperty]:
        """What of it an expected failure may depend on."""
        own = {
            BoardProperty.EMULATED: self.emulated,
            BoardProperty.NO_INT8_DOT_PRODUCT: not self.machine.int8_dot_product,
        }
        return frozenset(each for each, holds in own.items() if holds)

    @property
    def shell(self) -> list[str]:
        """What a command is put behind to run there; nothing on this machine."""
        spec = parse(self.remote) if self.remote else None
        return ssh(spec) if spec and spec.ssh else []

    @contextmanager
    def worker(self, runtime: str) -> Iterator[Worker]:
        """A worker with this runtime, and nothing loaded.

        Raises:
            WorkerError: it did not start, or was lost; OutOfMemoryError if the board's kernel
                killed a process for want of memory meanwhile.
            NoRuntimeError, ProvisionError: the environment of the runtime could not be made.
        """
        if self.fault:
            raise WorkerError(self.fault)
        if self.machine.bits == 32 and not RUNTIMES[runtime].runs_in_32_bits:
            raise NoRuntimeError(
                f"{runtime} has no wheel for a 32-bit userland ({self.machine.architecture} "
                f"kernel, {self.machine.os}): install a 64-bit image"
            )
        killed: int | None = None
        try:
            with Worker(self.spec(runtime), name=self.name) as worker:
                killed = self._killed_for_memory(worker, worker.read)
                yield worker
        except WorkerError as error:
            if killed is not None and self._killed_for_memory(worker, self._read) > killed:
                raise OutOfMemoryError(f"{self.name} ran out of memory: {error}") from error
            raise

    def _killed_for_memory(self, worker: Worker, read: Callable[[str], str | None]) -> int:
        """Of a board whose memory is imposed: in that worker; of another: on all of it."""
        own = emulation.kills(worker.pid) if self.emulated else None
        return health.out_of_memory_kills(read) if own is None else own

    def _read(self, path: str) -> str | None:
        """A file of the board's, without a worker."""
        return self.run(["cat", path]) if self.shell else reader()(path)

    def snapshot(self, worker: Worker) -> health.Snapshot:
        """The state of this board; `worker` is one of its own."""
        if self.shell:
            return health.snapshot(worker.read, run=self.run)
        return health.snapshot(run=self.run)

    def run(self, command: Sequence[str], deadline_s: float = 60.0) -> str | None:
        """What a command prints on the board; None if it fails, is missing, or takes too long."""
        try:
            return self._run(command, deadline_s)
        except WorkerError:
            return None

    def put(self, path: Path) -> str:
        """The path, on the board, of a file of this machine.

        It is copied by a process of its own, so that the worker's memory stays the model's; kept
        below `CACHE` under its SHA-256, and verified there each time.

        Raises:
            WorkerError: no connection, no space, or slower than `SLOWEST`.
        """
        if not self.shell:
            return str(path.absolute())
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            kept = shlex.quote(f"{CACHE}/{digest}/{path.name}")
            whole = f'[ "$(sha256sum < "$to" | cut -c1-64)" = {digest} ]'
            there = f'cd; to={kept}; [ -f "$to" ] && {whole} && echo "$PWD/$to"'
            if found := self.run(["sh", "-c", there], deadline_s=60):
                return found.strip()
            file.seek(0)
            script = (
                f'cd; kept={kept}; to="$kept.$$"; trap \'rm -f "$to"\' EXIT; '
                f'mkdir -p "${{kept%/*}}" && cat > "$to" && {whole} && mv "$to" "$kept" && '
                'echo "$PWD/$kept"'
            )
            deadline_s = 60 + path.stat().st_size / SLOWEST
            return self._run(["sh", "-c", script], deadline_s, file).strip()

    def prepare(self, path: Path, runtime: str) -> str:
        """Return the path, on the board, of a model file that a runtime has prepared.

        Runtimes that prepare nothing take it as `put` puts it. Elsewhere what is written stands
        next to it; here, next to a link to it in `folder`.

        Raises:
            WorkerError, NoRuntimeError, LoadError: as of a worker.
        """
        there = self.put(path)
        if not RUNTIMES[runtime].prepares:
            return there
        if self.folder is None:
            return self._prepare(there, runtime)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        # Packed weights are of one CPU's kernels.
        digest.update(f"{self.machine.cpu} {self.release(runtime)}".encode())
        link = self.folder.absolute() / f"{runtime}-{digest.hexdigest()[:24]}" / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{link.parent}.lock"):
            if not link.exists():
                link.unlink(missing_ok=True)  # what it led to is gone
                link.symlink_to(path.absolute())
            return self._prepare(str(link), runtime)

    def _prepare(self, there: str, runtime: str) -> str:
        with Worker(self.spec(runtime), guarded=False, name=self.name) as worker:
            worker.prepare(there, runtime)
        return there

    def _run(
        self, command: Sequence[str], deadline_s: float, given: IO[bytes] | None = None
    ) -> str:
        whole = [*self.shell, shlex.join(command)] if self.shell else list(command)
        return run(
            whole,
            timeout=deadline_s,
            error=WorkerError,
            what=self.name,
            shown=command[0],
            given=given or b"",
        )


def this_machine(device: str, cache: Path, *, own_python: bool = False) -> Board:
    """The machine at hand, as `device` (`host` is any); its environments are made in `store`.

    `own_python`: a runtime that the running Python has is taken from there.
    """

    def spec(runtime: str) -> str:
        own = own_python and has_runtime(runtime)
        return f"popen//python={sys.executable if own else python_for(runtime, cache)}"

    return Board(
        device,
        profile(device),
        detect(),
        spec,
        is_provisioned=not own_python,
        meter=energy.find(reader()),
        folder=cache / "prepared",
    )


def connect(remote: str, runtimes: Sequence[str] = tuple(RUNTIMES)) -> Board:
    """The board behind an execnet spec, which is asked what it is.

    `{runtime}` in the spec stands for the runtime's name, where each has a Python of its own: any
    of `runtimes` may answer.

    Raises:
        DeviceError: a spec that no worker can use.
        WorkerError: none answered within `START_S`.
    """
    spec = remote_spec(remote)
    faults = []
    for own in dict.fromkeys(map(spec, runtimes)):
        try:
            with Worker(own, deadline_s=START_S, isolate=False) as worker:
                about = worker.environment()
                machine = detect(
                    read=worker.read, architecture=about["machine"], bits=int(about["bits"])
                )
                meter = energy.find(worker.read)
        except WorkerError as error:
            faults.append(error)
            continue
        name = _name(machine.device, remote)
        return Board(name, profile(machine.device), machine, spec, remote, meter=meter)
    raise faults[0]


def emulated(device: str, cache: Path) -> Board:
    """A device emulated on this machine, its files in `store`. DeviceError: it cannot be."""
    board = profile(device)
    machine = emulation.machine(board)
    return Board(
        emulation.board_name(device),
        board,
        machine,
        lambda runtime: emulation.spec(board, runtime, cache),
        emulated=True,
        folder=cache / "prepared",
    )


def resolve_boards(
    named: Sequence[str],
    remotes: Sequence[str],
    cache: Path,
    *,
    emulate: bool = False,
    own_python: bool = False,
    runtimes: Sequence[str] = tuple(RUNTIMES),
) -> list[Board]:
    """The boards of a run: those behind the remotes, and for each device named and not among
    them this machine, or an emulated one.

    A remote that does not answer is a board with a fault, taken for a device that is named and
    that this machine is not: its targets fail with the reason, and the other boards' are judged.

    Raises:
        DeviceError: a device that is nowhere here, a remote to another device than those named,
            or two boards of one name; it says what to do.
    """
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda remote: _try_connect(remote, runtimes), remotes))
    boards = [board for board in found if isinstance(board, Board)]
    for board in boards:
        if named and board.profile.name not in named:
            raise DeviceError(
                f"behind --remote={remotes[found.index(board)]} is {board.profile.name!r}: "
                f"{board.machine.description}; asked for {', '.join(named)}"
            )
    here = detect()
    missing = [name for name in named if name not in {board.profile.name for board in boards}]
    elsewhere = [name for name in missing if name not in (here.device, "host")]
    left = iter(elsewhere)
    faults = [
        (remote, fault)
        for remote, fault in zip(remotes, found, strict=True)
        if isinstance(fault, WorkerError)
    ]
    for remote, fault in faults:
        device = next(left, None)
        boards.append(_unreachable(remote, fault, [device] if device else [*elsewhere, *named]))
    missing = [name for name in missing if name not in {board.profile.name for board in boards}]
    if not named and not remotes:
        missing = [here.device]
    for name in missing:
        if emulate and name != "host":
            boards.append(emulated(name, cache))
        elif name in (here.device, "host"):
            boards.append(this_machine(name, cache, own_python=own_python))
        else:
            raise DeviceError(
                f"-m {name}: this machine is not that device. It is {here.device!r}: "
                f"{here.description}. Reach one with --remote=ssh=pi@board//python=python3, or "
                f"run {name}'s own binaries here, its speed only projected, with --emulate. The "
                "machine at hand is judged with -m host"
                + "".join(f"\n--remote={remote} was not reached: {why}" for remote, why in faults)
            )
    if emulate and not faults and not any(board.emulated for board in boards):
        raise DeviceError(f"--emulate: name a board with -m that is not {here.device}")
    names = [board.name for board in boards]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DeviceError(
            f"two boards are called {twice}: tell them apart with //id=NAME in their --remote"
        )
    return boards


def remote_spec(remote: str) -> Callable[[str], str]:
    """The spec of a runtime's worker behind a remote. DeviceError if no worker can use it."""
    parse(remote)
    return lambda runtime: remote.replace("{runtime}", runtime)


def _try_connect(remote: str, runtimes: Sequence[str]) -> Board | WorkerError:
    try:
        return connect(remote, runtimes)
    except WorkerError as error:
        return error


def _unreachable(remote: str, fault: WorkerError, named: Sequence[str]) -> Board:
    if not named:
        raise DeviceError(f"{fault}\nName the device behind it with -m to have a verdict on it.")
    machine = Machine(named[0], "not reached", "unknown CPU", 0, 0, "unknown", "unknown OS")
    return Board(
        _name(named[0], remote),
        profile(named[0]),
        machine,
        remote_spec(remote),
        remote,
        fault=f"the board behind {remote} was not reached: {fault}",
    )


def _name(device: str, remote: str) -> str:
    own = parse(remote).id
    return f"{device}@{own}" if own else device
