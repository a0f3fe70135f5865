"""A deterministic cost: the instructions that a board's CPU model executes for a text.

Counted by a plugin of the emulator (count_instructions.c), from a text's text to its label. It is
the same on every machine and however busy it is, so a gate can hold it to 2% where milliseconds say
nothing.
"""

from __future__ import annotations

import hashlib
import mmap
import platform
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from common import atomic
from common.process import run
from devices.boards.emulation import board_name, command, execnet_spec, kills
from devices.client import Binding, Worker
from devices.errors import DeviceError, OutOfMemoryError, ProvisionError, WorkerError
from devices.profile import Profile

SOURCE = Path(__file__).with_name("count_instructions.c")
# One token in every vocabulary of WordPiece: so many of it fill a length.
_WORD = "a"


def instructions(
    profile: Profile,
    runtime: str,
    cache: Path,
    *,
    model_file: Path,
    tokenizer: Path,
    label_names: Sequence[str],
    tokens: int | None = None,
    binding: Binding | None = None,
) -> InstructionCount:
    """Guest instructions from text to label, one thread, of a text that fills each length.

    `tokens`: only lengths up to the first that takes so many. `binding`: of a file made elsewhere.

    Raises:
        DeviceError: the tokenizer does not know the word that fills a length.
        ProvisionError: no emulator, or no C compiler.
        LoadError, InvokeError, OutOfMemoryError, WorkerError: as of a worker.
    """
    with counting(profile, runtime, cache) as (worker, executed):
        loaded = worker.load(
            model_file, tokenizer, label_names, runtime, threads=1, binding=binding
        )
        lengths = loaded.lengths
        if tokens is not None:
            lengths = tuple(
                length
                for length, shorter in zip(lengths, (0, *lengths), strict=False)
                if shorter < tokens
            )
        counted = {length: instructions_of_a_text(worker, executed, length) for length in lengths}
        again = instructions_of_a_text(worker, executed, lengths[0])
        return InstructionCount(counted, abs(again / counted[lengths[0]] - 1))


@dataclass(frozen=True)
class InstructionCount:
    """`instructions` of a text by length in tokens; `spread`: by which share of it a second count
    of the shortest differed from the first."""

    instructions: dict[int, int]
    spread: float


def instructions_of_a_text(worker: Worker, executed: Callable[[], int], length: int) -> int:
    """Return the instructions of a text that is ``length`` tokens long."""
    text = " ".join([_WORD] * (length - 2))  # framed by [CLS] and [SEP]
    # The first answer allocates; it is not counted.
    if (tokens := worker.classify([text]).tokens) != (length,):
        raise DeviceError(f"{length - 2} times {_WORD!r} are {tokens} tokens, not {length}")

    def request(queries: int) -> int:
        before = executed()
        worker.measure([text], min_queries=queries, min_seconds=0, warm_up=0)
        return executed() - before

    # What a request costs without a query in it is taken off.
    return request(1) - request(0)


@contextmanager
def counting(
    profile: Profile, runtime: str, cache: Path
) -> Iterator[tuple[Worker, Callable[[], int]]]:
    """A worker on the emulated board, and what tells how many instructions it has executed."""
    made, board = plugin(cache), board_name(profile.name)
    with tempfile.NamedTemporaryFile(prefix="instructions-") as counter:
        counter.write(bytes(8))
        counter.flush()
        options = ["-plugin", f"{made},counter={counter.name}"]
        with (
            mmap.mmap(counter.fileno(), 8, access=mmap.ACCESS_READ) as executed,
            Worker(execnet_spec(command(profile, cache, options)), name=board) as worker,
        ):
            try:
                yield worker, lambda: int(struct.unpack("=Q", executed[:8])[0])
            except WorkerError as error:
                if kills(worker.pid):
                    raise OutOfMemoryError(f"{board} ran out of memory: {error}") from error
                raise


def plugin(cache: Path) -> Path:
    """The plugin, compiled into the cache by this machine's C compiler on first use.

    Raises:
        ProvisionError: there is no compiler, or it failed.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    key = hashlib.sha256(SOURCE.read_bytes() + platform.machine().encode()).hexdigest()[:12]
    made = (cache / "emulation" / f"{SOURCE.stem}-{key}.so").absolute()
    made.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{made}.lock"):
        if not made.exists():
            if compiler is None:
                raise ProvisionError(
                    "counting instructions takes a C compiler: `apt install gcc libc6-dev`"
                )
            with atomic.new_file(made) as temporary:
                run(
                    [compiler, "-shared", "-fPIC", "-O2", "-o", str(temporary), str(SOURCE)],
                    timeout=120,
                    error=ProvisionError,
                    what=f"{SOURCE} could not be compiled",
                )
    return made
