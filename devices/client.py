"""The caller's side of a worker: start it, ask it, and never wait for it without a deadline."""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypedDict

import execnet
import numpy as np
from execnet.gateway_base import Popen2IO, get_execmodel
from execnet.gateway_bootstrap import HostNotFound, bootstrap
from execnet.gateway_io import popen_args, ssh_args

from common.json_file import JsonError, conform
from common.process import die_with_parent
from devices import worker
from devices.errors import (
    DeviceError,
    InvokeError,
    LoadError,
    NoRuntimeError,
    OutOfMemoryError,
    WorkerError,
)
from devices.measurement.latency import WARM_UP
from devices.runtime import Runtime
from devices.runtimes import RUNTIMES

_ERRORS = {
    "provision": NoRuntimeError,
    "load": LoadError,
    "invoke": InvokeError,
    "memory": OutOfMemoryError,
}
_SPEC = {"popen", "ssh", "ssh_config", "python", "id", "nice"}
# Never ask a person, and notice within 20 seconds that the other side is gone.
_SSH = ("BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=5", "ServerAliveCountMax=3")
# Signals that a process brings upon itself. SIGKILL is not one: a system short of memory sends it.
_CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"}
# What an end means, and what to do about it: the second half of an error's first line.
_ADVICE: dict[str | int | None, str] = {
    **dict.fromkeys(
        _CRASHES,
        "a crash of native code, most likely the runtime's; judge another mode or runtime there",
    ),
    "SIGKILL": "sent from outside, often by a kernel short of memory; its log (dmesg) would say so",
    127: "no such command; name the board's Python with python= in the spec",
    255: "if that is ssh's, the connection is gone; try `ssh` to the board by hand",
}
# Last words of a process that found no memory left: the kernel's, C++'s, OpenBLAS's, Python's.
_NO_MEMORY = re.compile(r"(?i)out of memory|annot allocate|memory allocation|bad_alloc|MemoryError")
# Texts a request: a message stays small in the worker's memory, and a slow board within the
# deadline; a round trip costs 50 microseconds.
_BATCH = 8


class _Reply(TypedDict, total=False):
    """What a worker sends for a request: "ok" alone, or the other two."""

    ok: Any
    error: str
    message: str


class _Usage(TypedDict):
    resident: int
    peak: int
    anonymous: int
    lengths_used: list[int]


class _Signature(TypedDict):
    name: str
    length: int
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class _Release(TypedDict):
    name: str
    version: str


class _About(TypedDict):
    runtime: _Release
    delegate: str
    python: str
    machine: str
    signatures: list[_Signature]
    import_seconds: float
    load_seconds: float
    any_length: bool


class _Classified(TypedDict):
    logits: bytes
    tokens: list[int]
    truncated: int


class _Measured(TypedDict):
    seconds: list[float]
    invoke: list[float]
    cpu_seconds: float
    all_cpu_seconds: float
    wall_seconds: float
    first_seconds: float
    read: list[tuple[float, list[str | None]]]


class _Guard(TypedDict):
    network: str
    files: str
    connections: list[str]
    writes: list[str]
    processes: list[str]


@dataclass(frozen=True)
class Loaded:
    """What was loaded.

    `signatures`: name, length, and dtype and shape of inputs and outputs. `lengths` in tokens;
    `any_length`: a text is run at its own length, up to the only one of `lengths`.
    """

    runtime: str
    version: str
    delegate: str
    threads: int
    python: str
    machine: str
    lengths: tuple[int, ...]
    signatures: tuple[dict[str, Any], ...]
    import_seconds: float
    load_seconds: float
    any_length: bool = False


@dataclass(frozen=True)
class Binding:
    """How a model file that was made elsewhere is fed and read.

    Attributes:
        inputs: what each input is, by its name in the file: one of `devices.worker.INPUTS`.
        scales: by the name of a quantized output, the scale and the zero point it is read with.
        longest: tokens that it takes at most, if it takes any length and does not state it.
    """

    inputs: Mapping[str, str] = field(default_factory=dict)
    scales: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    longest: int | None = None


@dataclass(frozen=True)
class Outputs:
    """`logits` float32 [n, classes]; `predictions` int64 [n], indices of labels; `labels` their
    names; `tokens` of each text before any was cut off; `truncated`: texts that lost some."""

    logits: np.ndarray
    predictions: np.ndarray
    labels: tuple[str, ...]
    tokens: tuple[int, ...]
    truncated: int


@dataclass(frozen=True)
class Timings:
    """A single-stream measurement on the worker's clock, in seconds.

    `seconds` float64 [queries] is end-to-end, `invoke` the interpreter alone within the same
    queries. `cpu_seconds` (all threads) and `wall_seconds` span them; `all_cpu_seconds` spans what
    was done before them as well, warm-up and tokenization. `load_seconds` is the cold load
    (FlatBuffer and tokenizer, without imports), `first_seconds` the first text ever answered.
    `readings`: seconds since the beginning, and the texts of the meters' files. `ended` is when the
    measurement did, by this machine's time.time().
    """

    seconds: np.ndarray
    invoke: np.ndarray
    cpu_seconds: float
    all_cpu_seconds: float
    wall_seconds: float
    load_seconds: float
    first_seconds: float
    import_seconds: float = 0.0
    readings: tuple[tuple[float, tuple[str | None, ...]], ...] = ()
    ended: float = 0.0


@dataclass(frozen=True)
class Memory:
    """Resident set of the worker, in MB of 10^6 bytes, mapped files included.

    `peak_mb` and `resident_mb` are above `bare_mb`, what the process held before it imported
    anything. A signature takes its memory when first used: `lengths_used` says which were.
    """

    peak_mb: float
    resident_mb: float
    anonymous_mb: float
    bare_mb: float
    lengths_used: tuple[int, ...]


@dataclass(frozen=True)
class GuardReport:
    """What kept the worker private, and what it tried.

    `network` is "network namespace" (native code included) or "audit hook" (Python code only).
    """

    network: str
    files: str
    connections: tuple[str, ...]
    writes: tuple[str, ...]
    processes: tuple[str, ...]

    @property
    def attempts(self) -> tuple[str, ...]:
        return self.connections + self.writes + self.processes


class _Process(Popen2IO):
    """execnet's pipe to a child process, but with its stderr kept and in a session of its own."""

    def __init__(self, arguments: list[str]) -> None:
        self.popen = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.popen.stderr is not None
        super().__init__(self.popen.stdin, self.popen.stdout, get_execmodel("thread"))
        self.last_lines: deque[str] = deque(maxlen=20)
        self._drain = threading.Thread(target=self._keep, args=(self.popen.stderr,), daemon=True)
        self._drain.start()

    def _keep(self, stderr: IO[bytes]) -> None:
        with stderr:
            for line in stderr:
                self.last_lines.append(line.decode("utf-8", "replace").rstrip())

    def wait(self) -> int | None:
        return self.popen.wait()

    def kill(self) -> None:
        """Kill the child and what it started, and reap it."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def signal(self) -> str | None:
        """The name of the signal it died of; waits for its end, which a busy machine delays."""
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout=30)
        code = self.popen.returncode or 0
        # A shell, ssh and an emulator report a signal as 128 + its number.
        number = -code if code < 0 else code - 128
        return signal.Signals(number).name if number in set(signal.Signals) else None

    def end(self, killed: str = "") -> str:
        """How it ended, or why it was `killed` by its caller; with the last lines of its stderr."""
        name, code = self.signal(), self.popen.returncode
        how = "is still running" if code is None else f"exited with status {code}"
        advice = f" ({known})" if (known := _ADVICE.get(name or code)) else ""
        said = killed or (f"died of {name}" if name else how) + advice
        self._drain.join(timeout=5)  # longer only if what it started holds its stderr open
        lines = "\n  ".join(self.last_lines) or "(it wrote nothing to stderr)"
        return f"it {said}; its last lines:\n  {lines}"


class Worker:
    """A worker at the other end of an execnet spec, holding at most one classifier.

    `popen//python=/path/to/python` (a command with arguments, such as an emulator's, will do) or
    `ssh=pi@board//python=python3`; also `env:NAME=value`, `nice=`, `id=` and `ssh_config=`. Paths
    given to `load` are paths on the worker's machine. `name` is what errors call the board; a spec
    can be a screenful.

    `deadline_s` is how long the worker may be silent. Past it, or when it dies, WorkerError says
    how it ended. No process stays behind on this machine, not even if this one is killed (so keep
    the thread that starts it); over ssh, execnet ends the other side within 15 seconds of losing
    the connection. Use it as a context manager.

    `isolate` starts it without a network (util-linux's `unshare`) where the machine permits;
    `guard()` says what is in force. One that is not `guarded` may write files, and can only
    `prepare` a model file.
    """

    def __init__(
        self,
        spec: str,
        *,
        deadline_s: float = 600.0,
        isolate: bool = True,
        guarded: bool = True,
        name: str = "",
    ) -> None:
        self._guarded = guarded
        self.deadline_s = deadline_s
        self.loaded: Loaded | None = None
        self._label_names: tuple[str, ...] = ()
        self._load_seconds = 0.0
        self._overdue = False
        parsed = parse(spec)
        self.name = name or parsed.ssh or "this machine"
        # As root a user namespace would lose access to other users' files.
        local_root = bool(parsed.popen) and os.geteuid() == 0
        ways = [["unshare", "-n" if local_root else "-rn"], []] if isolate else [[]]
        started = time.monotonic()
        for way in ways:
            try:
                self._start(parse(spec), way)
                break
            except WorkerError:
                if way == ways[-1] or time.monotonic() - started >= deadline_s:
                    raise
        usage: _Usage = self._ask("memory", _Usage)
        self._bare = usage["resident"]

    def _start(self, spec: execnet.XSpec, way: list[str]) -> None:
        environment = [f"{name}={value}" for name, value in (spec.env or {}).items()]
        # After `unshare`, which as a user changes credentials, and with them forgets the signal.
        prefix = way + (die_with_parent([]) if spec.popen else [])
        prefix += ["env", *environment] if environment else []
        prefix += ["nice", "-n", spec.nice] if spec.nice else []
        python = spec.python or (sys.executable if spec.popen else "python3")
        spec.python = " ".join([shlex.join(prefix), python]).strip()
        # A shell that stays tells which signal the worker died of; ssh alone does not.
        remote = [*ssh(spec), ssh_args(spec)[-1] + "; exit"] if spec.ssh else []
        arguments = popen_args(spec) if spec.popen else die_with_parent(remote)
        # Ours to set: the worker needs its main thread, for a signal handler.
        spec.id, spec.execmodel = "worker", "main_thread_only"
        try:
            self._process = _Process(arguments)
        except OSError as error:
            raise WorkerError(f"cannot start a worker at {self.name}: {error}") from error
        try:
            with self._watchdog():
                self._gateway = bootstrap(self._process, spec)
                self._channel = self._gateway.remote_exec(worker)
                self._channel.send({"guarded": self._guarded})
            self._ask("memory", _Usage)
        except (EOFError, OSError, AssertionError, HostNotFound) as error:
            self._process.kill()
            raise WorkerError(
                f"no worker at {self.name} within {self.deadline_s:g} s: {self._end()}"
            ) from error

    @contextmanager
    def _watchdog(self) -> Iterator[None]:
        """For what execnet itself does without a time limit: killing the child ends the wait."""
        timer = threading.Timer(self.deadline_s, self._give_up)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self._overdue = True
        self._process.kill()

    def _end(self) -> str:
        silent = (
            f"was silent for {self.deadline_s:g} s, so it was killed: a slow board, or it hangs"
        )
        return self._process.end(silent if self._overdue else "")

    def _ask(self, op: str, kind: Any, **request: Any) -> Any:
        """One request, one reply: a value of that kind (`common.json_file.conform`)."""
        try:
            with self._watchdog():  # a full pipe to a worker that hangs
                self._channel.send({"op": op, **request})
            reply = final_reply(self._channel.receive, self.deadline_s)
        except execnet.RemoteError as error:  # its process lives on, and answers no more
            self._process.kill()
            said = str(error).strip().splitlines()[-1:]
            raise WorkerError(f"{op}: the worker at {self.name} failed: {''.join(said)}") from error
        except (EOFError, OSError, self._channel.TimeoutError) as error:
            if isinstance(error, self._channel.TimeoutError):
                self._give_up()
            how, name = self._end(), None if self._overdue else self._process.signal()
            self._process.kill()
            kind = OutOfMemoryError if _NO_MEMORY.search(how) else WorkerError
            raise kind(f"{op}: lost the worker at {self.name}: {how}", name) from error
        try:
            conform(reply, _Reply, "reply")
            if "ok" in reply:
                conform(reply["ok"], kind, op)
                return reply["ok"]
        except JsonError as error:
            raise self._wrong(op, str(error)) from None
        if not {"error", "message"} <= reply.keys():
            raise self._wrong(op, "reply.ok: missing")
        raise _ERRORS.get(reply["error"], WorkerError)(reply["message"])

    def _wrong(self, op: str, what: str) -> WorkerError:
        """Kill a worker that replies nonsense; return what to raise."""
        self._process.kill()
        return WorkerError(f"{op}: {self.name} sent what no worker replies ({what}); run it again")

    def environment(self) -> dict[str, str]:
        """What an answer depends on besides the files: machine, Python, and packages' versions."""
        own = dict.fromkeys(runtime.group for runtime in RUNTIMES.values())
        packages = [*own, "tokenizers", "numpy"]
        about: dict[str, str] = self._ask("environment", dict[str, str], distributions=packages)
        return about

    @property
    def pid(self) -> int:
        """The child process on this machine: the worker, or the ssh that leads to it."""
        return self._process.popen.pid

    def bare_memory(self) -> float:
        """MB (10^6 bytes) resident before anything was imported."""
        return float(self._bare / 1e6)

    def prepare(self, model_file: Path | str, runtime: str) -> None:
        """Have a runtime that prepares model files write what it wants to, next to this one.

        NoRuntimeError without the runtime, LoadError if the file is refused.
        """
        request = _request(RUNTIMES[runtime])
        self._answer("prepare", Any, model_file=str(model_file), runtime=request)

    def load(
        self,
        model_file: Path | str,
        tokenizer: Path | str,
        label_names: Sequence[str],
        runtime: str,
        threads: int = 1,
        *,
        binding: Binding | None = None,
    ) -> Loaded:
        """Load the classifier, once, on one of `devices.runtimes.RUNTIMES`, by its name.

        NoRuntimeError without the runtime, LoadError if the file is refused.

        Some runtimes check little: tflite-runtime 2.14 dies of a truncated file. That is its way of
        refusing it, and a LoadError too; the worker is gone then.
        """
        try:
            about: Any = self._ask(
                "load",
                _About,
                model_file=str(model_file),
                tokenizer=str(tokenizer),
                label_names=list(label_names),
                runtime=_request(RUNTIMES[runtime]),
                threads=threads,
                **({"binding": asdict(binding)} if binding else {}),
            )
        except WorkerError as error:
            if error.signal not in _CRASHES:
                raise
            raise LoadError(f"{runtime} crashed on {model_file}: {error}") from error
        self._label_names = tuple(label_names)
        self._load_seconds = about["load_seconds"]
        signatures = tuple(about.pop("signatures"))
        self.loaded = Loaded(
            **(about | {"runtime": about["runtime"]["name"]}),
            version=about["runtime"]["version"],
            threads=threads,
            signatures=signatures,
            lengths=tuple(signature["length"] for signature in signatures),
        )
        return self.loaded

    def classify(self, texts: Sequence[str], *, length: int | None = None) -> Outputs:
        """Labels of texts; each goes to the shortest signature it fits, or is run at its own length
        where the file takes any. With `length` all are padded to that one."""
        return self._classify({"texts": list(texts)}, length)

    def classify_ids(
        self,
        ids: Sequence[Sequence[int]],
        *,
        masks: Sequence[Sequence[int]] | None = None,
        types: Sequence[Sequence[int]] | None = None,
        length: int | None = None,
    ) -> Outputs:
        """Labels of token ids (with [CLS] and [SEP]) fed as they are, padded to the length.

        `masks` (default: 1 for every id) and `types` (default: 0) are as long as the ids.
        """
        columns = {"ids": ids, "masks": masks, "types": types}
        return self._classify(
            {k: [[int(i) for i in row] for row in v] for k, v in columns.items() if v is not None},
            length,
        )

    def _classify(self, columns: dict[str, list[Any]], length: int | None) -> Outputs:
        logits, tokens, truncated = b"", [], 0
        row_bytes = 4 * len(self._label_names)  # float32
        for start in range(0, max(map(len, columns.values())), _BATCH):
            batch = {name: rows[start : start + _BATCH] for name, rows in columns.items()}
            reply: _Classified = self._answer("classify", _Classified, **batch, length=length)
            rows = len(next(iter(batch.values())))
            if len(reply["tokens"]) != rows or len(reply["logits"]) != rows * row_bytes:
                raise self._wrong("classify", f"{len(reply['logits'])} bytes of {rows} texts")
            logits += reply["logits"]
            tokens += reply["tokens"]
            truncated += reply["truncated"]
        table = np.frombuffer(logits, np.float32).reshape(len(tokens), len(self._label_names))
        return Outputs(
            logits=table,
            predictions=table.argmax(axis=1),
            labels=self._label_names,
            tokens=tuple(tokens),
            truncated=truncated,
        )

    def _answer(self, op: str, kind: Any, **request: Any) -> Any:
        try:
            return self._ask(op, kind, **request)
        except WorkerError as error:
            if error.signal not in _CRASHES:
                raise
            raise InvokeError(f"the runtime crashed: {error}") from error

    def measure(
        self,
        texts: Sequence[str],
        *,
        min_queries: int,
        min_seconds: float,
        warm_up: int = WARM_UP,
        slow_down: float = 0.0,
        meters: Sequence[str] = (),
    ) -> Timings:
        """Time the classifier single stream, cycling over the texts; see latency.PRESETS.

        `slow_down`: a planted regression, as a share of each query's time. `meters`: small files of
        the board that are read meanwhile (devices.measurement.energy).
        """
        if not texts:
            raise ValueError("no texts to measure with")
        reply: _Measured = self._answer(
            "measure",
            _Measured,
            texts=list(texts),
            min_queries=min_queries,
            min_seconds=min_seconds,
            warm_up=warm_up,
            slow_down=slow_down,
            meters=list(meters),
        )
        ended = time.time()
        if not len(reply["invoke"]) == len(reply["seconds"]) >= min_queries:
            raise self._wrong("measure", f"{len(reply['seconds'])} queries")
        if not all(0 < value < math.inf for value in (*reply["seconds"], *reply["invoke"])):
            raise self._wrong("measure", "latencies that are no positive seconds")
        return Timings(
            seconds=np.array(reply["seconds"]),
            invoke=np.array(reply["invoke"]),
            cpu_seconds=reply["cpu_seconds"],
            all_cpu_seconds=reply["all_cpu_seconds"],
            wall_seconds=reply["wall_seconds"],
            load_seconds=self._load_seconds,
            first_seconds=reply["first_seconds"],
            import_seconds=self.loaded.import_seconds if self.loaded else 0.0,
            readings=tuple((at, tuple(texts)) for at, texts in reply["read"]),
            ended=ended,
        )

    def overhead(self) -> tuple[float, float]:
        """Seconds that the harness adds to a query, and of an empty request and its reply."""
        own: float = self._ask("overhead", float)
        trips = []
        for _ in range(50):
            started = time.perf_counter()
            self._ask("read", str | None, path="/")
            trips.append(time.perf_counter() - started)
        return own, sorted(trips)[25]

    def memory(self, *, reset_peak: bool = False) -> Memory:
        """Memory until now; `reset_peak` starts the peak again from here (after this reading)."""
        usage: _Usage = self._ask("memory", _Usage, reset_peak=reset_peak)
        return Memory(
            peak_mb=(usage["peak"] - self._bare) / 1e6,
            resident_mb=(usage["resident"] - self._bare) / 1e6,
            anonymous_mb=usage["anonymous"] / 1e6,
            bare_mb=self._bare / 1e6,
            lengths_used=tuple(usage["lengths_used"]),
        )

    def guard(self) -> GuardReport:
        """Which guard is in force, and what the worker has tried against it so far."""
        report: _Guard = self._ask("privacy", _Guard)
        return GuardReport(
            network=report["network"],
            files=report["files"],
            connections=tuple(report["connections"]),
            writes=tuple(report["writes"]),
            processes=tuple(report["processes"]),
        )

    def read(self, path: str) -> str | None:
        """A small text file of the worker's machine, for detection and health; None if unreadable.

        The contents of /proc/self are the worker's.
        """
        text: str | None = self._ask("read", str | None, path=path)
        return text

    def close(self) -> None:
        """End the worker: politely, and by force after two seconds. No process stays behind."""
        with suppress(OSError, ValueError):
            self._process.close_write()
        with suppress(subprocess.TimeoutExpired):
            self._process.popen.wait(timeout=2)
        self._process.kill()
        self._gateway.join(timeout=2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def final_reply(receive: Callable[[float], Any], deadline_s: float) -> Any:
    """Return the reply that follows any signs of life; each of them starts the deadline anew.

    Args:
        receive: waits for the next message, at most so many seconds.
        deadline_s: seconds that the worker may be silent.
    """
    while isinstance(reply := receive(deadline_s), dict) and "beat" in reply:
        pass
    return reply


def _request(runtime: Runtime) -> dict[str, Any]:
    """What a worker is told of a runtime."""
    return {
        "name": runtime.name,
        "distribution": runtime.group,
        "module": runtime.module,
        "environment": dict(runtime.environment),
        "sources": dict(runtime.sources),
    }


def parse(spec: str) -> execnet.XSpec:
    """The parsed spec; DeviceError names what a worker cannot use."""
    try:
        parsed = execnet.XSpec(spec)
    except (ValueError, AttributeError, IndexError) as error:
        raise DeviceError(f"{spec!r} is no execnet spec: {error}") from error
    given = {k: v for k, v in vars(parsed).items() if v and not k.startswith("_")}
    # A key without a value is True to execnet.
    valueless = {k for k, v in {**given, **parsed.env}.items() if v is True and k != "popen"}
    if given.keys() - _SPEC - {"env"} or valueless or bool(parsed.popen) == bool(parsed.ssh):
        raise DeviceError(
            f"{spec!r}: a worker takes popen or ssh=HOST, with python=, env:NAME=, nice=, id= and "
            "ssh_config=, each with a value"
        )
    try:
        shlex.split(parsed.python or "")
    except ValueError as error:
        raise DeviceError(f"{spec!r}: python={parsed.python}: {error}") from error
    return parsed


def ssh(spec: execnet.XSpec) -> list[str]:
    """The command that runs what follows it on the machine of an ssh spec."""
    options = [argument for option in _SSH for argument in ("-o", option)]
    program, *rest = ssh_args(spec)[:-1]
    return [program, *options, *rest]
