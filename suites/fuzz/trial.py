"""Many inputs in one forked child, so that a crash is one input's and the next one goes on."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

import fit
from common.process import end_with_parent

# One input may take so many seconds of the processor, and so much memory above what was held.
CPU_SECONDS = 20
MEMORY_BYTES = 1 << 30
# A child that neither ends nor computes waits for something.
SILENT_SECONDS = 300
# A message is one line, and can be read.
LONGEST_MESSAGE = 1000
ERRORS: tuple[type[Exception], ...] = (*fit.ERRORS, pytest.UsageError)


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        name: what it is called.
        make: writes one input into an empty folder.
        read: reads it as the commands do, from that folder.
        share: how often it is tried, beside the others' 1.
        lines: whether a message may quote the last lines of a worker process.
    """

    name: str
    make: Callable[[Path, Random], None]
    read: Callable[[Path], object]
    share: float = 1.0
    lines: bool = False


@dataclass(frozen=True)
class Fault:
    """What an input did that none may do.

    Attributes:
        kind, number: the input; with the seed they make it again.
        what: an exception with the place that raised it, "crash", "hang", "memory", "wrote", ...
        said: the message.
        kept: the folder that holds the input.
    """

    kind: str
    number: int
    what: str
    said: str
    kept: str


class Hang(BaseException):
    """An input took more than `CPU_SECONDS`."""


class Outside(BaseException):
    """Something was written outside of the folder of the input."""


def make(kind: Kind, seed: int, number: int, folder: Path) -> Path:
    """Write one input into a new folder, the same for the same seed and number."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kind.make(folder, Random(f"{seed} {kind.name} {number}"))
    return folder


def run(
    kind: Kind, seed: int, numbers: Sequence[int], out: Path
) -> tuple[dict[str, int], list[Fault]]:
    """Try inputs. Return how many came to which end, "clean" or "refused", and the faults.

    Args:
        kind: of the inputs.
        seed: of all inputs.
        numbers: which ones.
        out: the folder that inputs with a fault are kept in.
    """
    counts = {"clean": 0, "refused": 0}
    faults: list[Fault] = []
    left = list(numbers)
    while left:
        for number, said in _child(kind, seed, left, out):
            left.remove(number)
            if isinstance(said, str):
                counts[said] += 1
            else:
                faults.append(Fault(**said))
    return counts, faults


def _child(kind: Kind, seed: int, numbers: Sequence[int], out: Path) -> Iterator[tuple[int, Any]]:
    """Yield each input's number and end, until all are done or one ends the child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        try:
            _limit()
            _try_all(kind, seed, numbers, out, writer)
        finally:
            os._exit(0)
    os.close(writer)
    current: int | None = None
    stuck = False
    try:
        for number, said in map(json.loads, _lines(reader, pid)):
            current = number if said is None else None
            if said is not None:
                yield number, said
    except Hang:
        stuck = True
        os.kill(pid, signal.SIGKILL)
    finally:
        os.close(reader)
        _, status = os.waitpid(pid, 0)
    if current is not None:
        how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "an exit"
        what, said = ("hang", "stuck in native code") if stuck else ("crash", f"died of {how}")
        yield current, asdict(_kept(kind, seed, current, out, what, said))


def _lines(reader: int, pid: int) -> Iterator[bytes]:
    """Yield what a child writes, line by line. Hang if it is stuck in native code, or waits."""
    rest = b""
    while True:
        cpu, since = _cpu_seconds(pid), time.monotonic()
        while not select.select([reader], [], [], 1.0)[0]:
            computed = _cpu_seconds(pid) - cpu
            if computed > 2 * CPU_SECONDS or time.monotonic() - since > SILENT_SECONDS:
                raise Hang
        if not (read := os.read(reader, 1 << 16)):
            return
        *lines, rest = (rest + read).split(b"\n")
        yield from lines


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _limit() -> None:
    """Bound this process: memory, files, processor time, and where it may write."""
    end_with_parent()
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, held + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    signal.signal(signal.SIGPROF, _overdue)


def _overdue(*_: Any) -> None:
    raise Hang


def _try_all(kind: Kind, seed: int, numbers: Sequence[int], out: Path, report: int) -> None:
    (temporary := out / "scratch" / str(os.getpid()) / "temporary").mkdir(parents=True)
    tempfile.tempdir = str(temporary)

    def say(number: int, said: Any) -> None:
        os.write(report, json.dumps([number, said]).encode() + b"\n")

    scratch = out / "scratch" / str(os.getpid())
    watch = _Watch(scratch)
    sys.addaudithook(watch.audit)
    for number in numbers:
        say(number, None)
        what, said = _try(kind, make(kind, seed, number, scratch / "input"), watch)
        if what not in ("clean", "refused"):
            say(number, asdict(_kept(kind, seed, number, out, what, said)))
        else:
            say(number, what)
    shutil.rmtree(scratch, ignore_errors=True)


def _kept(kind: Kind, seed: int, number: int, out: Path, what: str, said: str) -> Fault:
    """Return a fault, its input kept."""
    name = f"{kind.name.replace(' ', '-')}-{number}"
    make(kind, seed, number, out / "inputs" / name)
    return Fault(kind.name, number, what, said[:2000], name)


def _try(kind: Kind, folder: Path, watch: _Watch) -> tuple[str, str]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    watch.outside.clear()
    watch.watching = True
    try:
        kind.read(folder)
        what, said = "clean", ""
    except ERRORS as error:
        what, said = "refused", str(error)
        said.encode()
    except Hang:
        what, said = "hang", f"more than {CPU_SECONDS} s of the processor"
    except BaseException as error:  # a panic of native code is no Exception
        what, said = _where(error), f"{type(error).__name__}: {error}"
    finally:
        watch.watching = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if what in ("clean", "refused"):
        if watch.outside:
            what, said = "wrote outside", ", ".join(watch.outside)
        elif grown > MEMORY_BYTES:
            what, said = "memory", f"{grown / 1e6:.0f} MB"
        elif (
            what == "refused"
            and not 0 < len(said.strip()) <= (10 if kind.lines else 1) * LONGEST_MESSAGE
        ):
            what = "message"
        elif len(said.splitlines()) > 1 and not kind.lines:
            what = "message of several lines"
    return what, said


def _where(error: BaseException) -> str:
    """Return the exception and the last line of this project that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    root = str(Path(__file__).parents[2])
    own = [f for f in frames if f.filename.startswith(root) and "/suites/fuzz/" not in f.filename]
    place = own[-1] if own else frames[-1]
    file = place.filename.removeprefix(root + "/")
    return f"{type(error).__name__} at {file}:{place.lineno} in {place.name}"


class _Watch:
    """An audit hook that notes what is written, made or removed outside of a folder."""

    WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    CHANGES = frozenset(
        f"os.{name}"
        for name in ("rename", "remove", "mkdir", "rmdir", "link", "symlink", "truncate", "chmod")
    )

    def __init__(self, folder: Path) -> None:
        self.folder = os.path.realpath(folder)
        self.outside: list[str] = []
        self.watching = False

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        if event == "open":
            path, _, flags = args
            if not isinstance(flags, int) or not flags & self.WRITES:
                return
        elif event in self.CHANGES:
            path = args[event in ("os.rename", "os.link", "os.symlink")]
        else:
            return
        if isinstance(path, int) or os.fspath(path) == os.devnull:
            return
        # The last argument of what a whole tree is removed with is the folder that it is in.
        opened = args[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
        folder = f"/proc/self/fd/{opened}/" if opened >= 0 else ""
        real = os.path.realpath(folder + os.fsdecode(path))
        if not real.startswith(self.folder + os.sep):
            self.outside.append(f"{event} {real[:200]}")


def forget(out: Path) -> None:
    """Remove what children that died have left."""
    with suppress(FileNotFoundError):
        shutil.rmtree(out / "scratch")
