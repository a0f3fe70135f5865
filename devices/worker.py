"""The worker: one process, one runtime, one classifier. It runs on the device.

The caller's side (client.py) sends its source over execnet, and with a request the source of one
file of `devices/runtimes/`. So nothing need be installed next to numpy, tokenizers and a runtime,
and it must not import anything else of this project. Those three are imported late, so that the
bare process can be weighed first.

Requests and replies are dictionaries of plain values. A request is {"op": name, ...}; the reply
is {"ok": value}, or {"error": stage, "message": text} with the stage where it failed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "logits"
# What an input may be besides int32 and int64.
MASKS = ("bool", "float32")
QUANTIZED = ("int8", "uint8", "int16")
# A signature; its inputs, by what they are, as (name in the file, dtype); its output; what that is
# read with, as (scale, zero point), if it is quantized.
Bound = tuple[Any, dict[str, tuple[str, str]], str, Any]
# No runtime has a larger shared object: what cannot map so much cannot import one.
LARGEST_LIBRARY = 64_000_000
# A sign of life between two queries of a long measurement, so that a deadline means silence.
BEAT_SECONDS = 0.5


class StageError(Exception):
    """What the caller raises as one of devices.errors, by its stage."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class Sandbox:
    """Keeps this process from the network and from writing files, and counts attempts at either.

    Three nets, each reported as in force or not:
    - the network namespace that the caller started the process in (`unshare`): no interface is up,
      native code included. Native attempts over IP are counted from the kernel's OutNoRoutes.
    - RLIMIT_FSIZE = 0: no file can be given a byte, native code included; each try raises SIGXFSZ,
      which is counted.
    - a Python audit hook: refuses and names sockets, files opened for writing, renames and
      removals, and new processes. It sees Python code only.

    Not seen: Unix sockets with a path, empty files, removals and overwriting within a mapped file,
    when done by native code.
    """

    WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    # Not storage; the second resets this process's own peak memory.
    ALLOWED = (os.devnull, "/proc/self/clear_refs")
    CHANGES = frozenset(
        f"os.{name}"
        for name in ("rename", "remove", "mkdir", "rmdir", "link", "symlink", "truncate", "chmod")
    )
    PROCESSES = frozenset(
        ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn")
    )

    def __init__(self) -> None:
        self.connections: list[str] = []
        self.writes: list[str] = []
        self.processes: list[str] = []
        self.isolated = not _has_network()
        sys.dont_write_bytecode = True  # importing a runtime is no leak
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        signal.signal(signal.SIGXFSZ, self._too_large)
        self.unrouted_before = _unrouted()
        sys.addaudithook(self._audit)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if (
                isinstance(flags, int)
                and flags & self.WRITES
                and not isinstance(path, int)
                and os.fspath(path) not in self.ALLOWED
            ):
                self._refuse(self.writes, f"open {os.fspath(path)!r} for writing")
        elif event.startswith("socket."):
            self._refuse(self.connections, f"{event} {args[1:]!r}")
        elif event in self.CHANGES:
            self._refuse(self.writes, f"{event} {args!r}")
        elif event in self.PROCESSES:
            self._refuse(self.processes, f"{event} {args!r}")

    @staticmethod
    def _refuse(attempts: list[str], what: str) -> None:
        attempts.append(what[:200])
        raise PermissionError(f"the privacy guard refuses: {what[:200]}")

    def _too_large(self, signum: int, frame: FrameType | None) -> None:
        self.writes.append("a write to a file, at the size limit of 0 bytes")

    def report(self) -> dict[str, Any]:
        connections = list(self.connections)
        unrouted = _unrouted() - self.unrouted_before
        # Outside a namespace this counter belongs to the whole machine.
        if self.isolated and unrouted > 0:
            connections.append(f"{unrouted} packets without a route, by native code")
        return {
            "network": "network namespace" if self.isolated else "audit hook",
            "files": "file size limit 0 and audit hook",
            "connections": connections,
            "writes": list(self.writes),
            "processes": list(self.processes),
        }


def _has_network() -> bool:
    """Whether any address can be reached from here. Connecting a datagram socket sends nothing."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
        except OSError:
            continue
        return True
    return False


def _unrouted() -> int:
    """IP packets this network namespace had no route for."""
    count = 0
    snmp = [line.split() for line in (read("/proc/self/net/snmp") or "").splitlines()]
    for names, values in zip(snmp[::2], snmp[1::2], strict=False):
        if "OutNoRoutes" in names:
            count += int(values[names.index("OutNoRoutes")])
    for line in (read("/proc/self/net/snmp6") or "").splitlines():
        if line.startswith("Ip6OutNoRoutes"):
            count += int(line.split()[1])
    return count


def read(path: str) -> str | None:
    """A small text file of this machine, such as one of /proc; None if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def memory(reset_peak: bool = False) -> dict[str, Any]:
    """Bytes resident now and at the peak (VmRSS, VmHWM), of which anonymous (RssAnon)."""
    fields = dict(line.split(":", 1) for line in (read("/proc/self/status") or "").splitlines())
    usage = {
        name: int(fields[key].split()[0]) * 1024
        for name, key in (("resident", "VmRSS"), ("peak", "VmHWM"), ("anonymous", "RssAnon"))
    }
    if reset_peak:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return usage


class Framing:
    """The token ids that open and close a text, and the one that pads it.

    Attributes:
        opening, closing: ids that the post-processor puts around a text; either may be empty.
        pad: id that fills a signature behind a text.
    """

    PADS = ("[PAD]", "<pad>")
    # Texts that one of any vocabulary knows a token of.
    PROBES = ("a", "1", ".", "\u4e00")

    def __init__(self, tokenizer: Any, pad: int | None = None) -> None:
        """Read them from a `tokenizers.Tokenizer`, and turn off its own cutting and padding.

        ``pad``: pad_token_id of config.json, if it is known.

        Raises:
            ValueError: no padding token is known.
        """
        own = (tokenizer.padding or {}).get("pad_token")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        frame = tokenizer.encode("").ids
        masks = (tokenizer.encode(text).special_tokens_mask for text in self.PROBES)
        opening = next((mask.index(0) for mask in masks if 0 in mask), min(1, len(frame)))
        self.opening, self.closing = frame[:opening], frame[opening:]
        added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        names = (*self.PADS, own, *(name for name in added if "pad" in name.lower()))
        known = (tokenizer.token_to_id(name) for name in names if name)
        found = pad if pad is not None else next((n for n in known if n is not None), None)
        if found is None:
            raise ValueError("it names no padding token: add one to its added_tokens")
        self.pad: int = found

    def cut(self, ids: Sequence[int], length: int) -> list[int]:
        """At most ``length`` ids of a framed text; one that is cut keeps its closing ids."""
        if len(ids) <= length:
            return list(ids)
        return [*ids[: max(0, length - len(self.closing))], *self.closing][:length]

    def filled(self, ids: Sequence[int], length: int) -> list[int]:
        """Exactly ``length`` ids of a framed text: cut, or padded behind it."""
        kept = self.cut(ids, length)
        return [*kept, *[self.pad] * (length - len(kept))]


def modules(sources: Mapping[str, str]) -> ModuleType:
    """Make modules of their source texts, each after those it imports; the last one."""
    for name, source in sources.items():
        module = sys.modules[name] = ModuleType(name)
        exec(compile(source, f"<{name}>", "exec", dont_inherit=True), vars(module))  # noqa: S102
    return module


def imported(runtime: dict[str, Any], *others: str) -> list[ModuleType]:
    """Import a runtime's "module", after its "environment" is set, and other modules.

    Raises:
        StageError: one is not here, or there is no memory for it.
    """
    os.environ.update(runtime["environment"])
    try:
        return [importlib.import_module(name) for name in (runtime["module"], *others)]
    except ImportError as error:
        name = runtime["name"]
        if not _can_map(LARGEST_LIBRARY):
            raise StageError("memory", f"no memory left to import {name}: {error}") from error
        raise StageError("provision", f"{sys.executable} lacks {name}: {error}") from error


def _can_map(size: int) -> bool:
    """Whether so many bytes can be mapped, as the loader of shared objects maps a file."""
    try:
        mmap.mmap(-1, size).close()
    except OSError:
        return False
    return True


@contextmanager
def refusals(runtime: dict[str, Any], model_file: str) -> Iterator[None]:
    """StageError for what a runtime raises of a file that it refuses."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        said = "\n".join(dict.fromkeys(str(error).splitlines()))  # once for every tensor
        raise StageError("load", f"{runtime['name']} refuses {model_file}: {said}") from error


def prepare(model_file: str, runtime: dict[str, Any]) -> None:
    """What the runtime makes of a model file before it is loaded for the first time."""
    (module,) = imported(runtime)
    with refusals(runtime, model_file):
        modules(runtime["sources"]).prepare(module, model_file)


class Classifier:
    """Text in, label out: a tokenizer and the signatures of one model file.

    A signature has a fixed length, and a text is padded to the shortest that it fits; or it takes
    any length up to its longest, and nothing is padded.
    """

    def __init__(
        self,
        model_file: str,
        tokenizer: str,
        label_names: list[str],
        runtime: dict[str, Any],
        threads: int,
        *,
        pad: int | None = None,
        binding: dict[str, Any] | None = None,
    ) -> None:
        """`runtime`: "name", "distribution", "module", "environment" and "sources" of one.

        `binding`, of a file made elsewhere: "inputs" (name → one of `INPUTS`), "scales" (a
        quantized output's name → scale, zero point) and "longest" (tokens, or None).
        """
        started = time.perf_counter()
        module, self.numpy, tokenizers = imported(runtime, "numpy", "tokenizers")
        self.label_names = label_names
        self.import_seconds = time.perf_counter() - started

        for path in (model_file, tokenizer):
            if not Path(path).is_file():
                raise StageError("load", f"no file {path} on {platform.node()}")
            _forget(path)
        file = modules(runtime["sources"])
        started = time.perf_counter()
        with refusals(runtime, model_file):
            found, self.delegate = file.load(module, model_file, threads)
            self.signatures = self._bind(found, len(label_names), binding or {})
        try:
            # `tokenizers` reports every fault as a bare Exception, or panics: a BaseException.
            self.tokenizer = tokenizers.Tokenizer.from_file(tokenizer)
        except BaseException as error:
            raise StageError("load", f"{tokenizer} is no tokenizer.json: {error}") from error
        try:
            self.framing = Framing(self.tokenizer, pad)
        except ValueError as error:
            raise StageError("load", f"{tokenizer}: {error}") from error
        self.load_seconds = time.perf_counter() - started
        self.first_seconds: float | None = None
        self.lengths_used: set[int] = set()
        version = _version(runtime["distribution"]) or "unknown"
        self.runtime = {"name": runtime["name"], "version": version}

    def _bind(
        self, found: Sequence[Any], classes: int, binding: Mapping[str, Any]
    ) -> dict[int, Bound]:
        """Length → (signature, its inputs, its output, and how that is read), shortest first.

        An input is bound by the binding, or by its name, perhaps with what TensorFlow puts around
        it (``serving_default_input_ids:0``). The logits are a signature's only output of that
        shape, or the one that is called so.
        """
        given, scales = binding.get("inputs", {}), binding.get("scales", {})
        signatures: dict[int, Bound] = {}
        self.described = []
        for signature in found:
            key, inputs, outputs = signature.name, signature.inputs, signature.outputs
            bound = {
                name: given.get(name, name.rpartition("serving_default_")[2].split(":")[0])
                for name in inputs
            }
            shapes = {shape for _, shape in inputs.values()}
            known, least = set(bound.values()), {*INPUTS[:1]} if given else {*INPUTS[:2]}
            if not least <= known <= {*INPUTS} or len(known) < len(bound):
                raise ValueError(
                    f"signature {key!r} has the inputs {sorted(inputs)}: they are told apart by "
                    f"name alone, and known are {', '.join(INPUTS)}"
                )
            if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or shape[0] != 1:
                raise ValueError(f"signature {key!r}: inputs must be [1, length], not {inputs}")
            self.any_length = shape[1] is None
            longest = signature.longest or binding.get("longest")
            length = longest if self.any_length else shape[1]
            if length is None:
                raise ValueError(
                    f"signature {key!r}: its inputs have no fixed length; convert it with inputs "
                    "of [1, LENGTH], a signature for each length (ONNX: add max_tokens to its "
                    "metadata_props)"
                )
            if self.any_length and len(found) > 1:
                raise ValueError(f"signature {key!r} takes any length, and is not the only one")
            if not all(
                dtype in ("int32", "int64", *(MASKS if bound[name] == INPUTS[1] else ()))
                for name, (dtype, _) in inputs.items()
            ):
                raise ValueError(f"signature {key!r}: inputs must be integers, not {inputs}")
            answers = _answers(outputs, classes, scales)
            if len(answers) != 1:
                raise ValueError(
                    f"signature {key!r} must answer {OUTPUT}, float32 [1, {classes}] "
                    f"(one for each label), not {outputs}"
                )
            if length in signatures:
                raise ValueError(f"two signatures of length {length}")
            own = {what: (name, inputs[name][0]) for name, what in bound.items()}
            (output,) = answers
            signatures[length] = (signature, own, output, scales.get(output))
            described = {
                "inputs": {bound[name]: _described(of) for name, of in inputs.items()},
                "outputs": {OUTPUT: _described(outputs[output])},
            }
            self.described.append({"name": key, "length": length, **described})
        if not signatures:
            raise ValueError("it has no signature")
        return dict(sorted(signatures.items()))

    def about(self) -> dict[str, Any]:
        return {
            "runtime": self.runtime,
            "delegate": self.delegate,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "signatures": sorted(self.described, key=lambda signature: signature["length"]),
            "import_seconds": self.import_seconds,
            "load_seconds": self.load_seconds,
            "any_length": self.any_length,
        }

    def length_for(self, tokens: int) -> int:
        """The length that so many tokens are run at: their own, or of the shortest signature that
        they fit; at most the longest there is."""
        longest = max(self.signatures)
        if self.any_length:
            return min(tokens, longest)
        return next((n for n in self.signatures if n >= tokens), longest)

    def encode(self, text: str) -> list[int]:
        """All token ids of a text with those that frame it, however many."""
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def invoke(
        self,
        ids: Sequence[int],
        length: int | None = None,
        mask: Sequence[int] | None = None,
        types: Sequence[int] | None = None,
    ) -> tuple[Any, float]:
        """Logits [classes] of one text's token ids, and the seconds the interpreter alone took.

        Ids beyond the length are cut off; those that close a text are kept.
        """
        length = length or self.length_for(len(ids))
        longest = max(self.signatures)
        chosen = longest if self.any_length and length <= longest else length
        if chosen not in self.signatures:
            raise StageError("worker", f"no signature of {length}, only {list(self.signatures)}")
        signature, inputs, output, scale = self.signatures[chosen]
        ids = self.framing.cut(ids, length)
        tensors = {name: self.numpy.zeros((1, length), of) for name, (_, of) in inputs.items()}
        tensors["input_ids"][0] = self.framing.filled(ids, length)
        tensors["attention_mask"][0, : len(ids)] = 1 if mask is None else mask[: len(ids)]
        if types is not None and "token_type_ids" in tensors:
            tensors["token_type_ids"][0, : len(ids)] = types[: len(ids)]
        fed = {inputs[name][0]: tensor for name, tensor in tensors.items()}
        started = time.perf_counter()
        try:
            logits = signature.run(fed)[output][0]
        except (ValueError, RuntimeError) as error:
            raise StageError(
                "invoke", f"{self.runtime['name']}, length {length}: {error}"
            ) from error
        if scale:
            logits = (logits.astype(self.numpy.float32) - scale[1]) * self.numpy.float32(scale[0])
        seconds = time.perf_counter() - started
        if length in self.signatures:
            self.lengths_used.add(length)
        return logits, seconds

    def answer(self, text: str, slow_down: float = 0.0) -> tuple[int, float, float]:
        """One query: the label's index, seconds end-to-end, seconds of invoke alone.

        `slow_down`: a share of its time that it spins for afterwards, so that a planted regression
        can be looked for.
        """
        started = time.perf_counter()
        logits, invoke = self.invoke(self.encode(text))
        label = int(logits.argmax())
        if slow_down:
            until = started + (1 + slow_down) * (time.perf_counter() - started)
            while time.perf_counter() < until:
                pass
        seconds = time.perf_counter() - started
        if self.first_seconds is None:
            self.first_seconds = seconds
        return label, seconds, invoke

    def classify(
        self,
        texts: list[str] | None = None,
        ids: list[list[int]] | None = None,
        masks: list[list[int]] | None = None,
        types: list[list[int]] | None = None,
        length: int | None = None,
    ) -> dict[str, Any]:
        """Logits (float32 bytes, row by row) of texts, or of token ids fed as they are."""
        if texts and self.first_seconds is None:
            self.answer(texts[0])
        if ids is None:
            ids = [self.encode(text) for text in texts or []]
        rows = [
            self.invoke(row, length, masks[n] if masks else None, types[n] if types else None)[0]
            for n, row in enumerate(ids)
        ]
        longest = length or max(self.signatures)
        return {
            "logits": b"".join(row.tobytes() for row in rows),
            "tokens": [len(row) for row in ids],
            "truncated": sum(len(row) > longest for row in ids),
        }

    def measure(
        self,
        texts: list[str],
        *,
        min_queries: int,
        min_seconds: float,
        warm_up: int,
        beat: Callable[[], None],
        slow_down: float = 0.0,
        meters: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Single stream: one query after another, cycling over the texts, on this process's clock.

        `meters`: files that are read before the first query, after the last one, and between two
        now and then: "read", with the seconds since the beginning.

        Warm-up: at least so many queries, among them one of every length that the texts need,
        because a signature allocates its memory when first used. With ``warm_up`` 0 there is none.
        """
        asked = time.process_time()
        by_length = {self.length_for(len(self.encode(text))): text for text in texts}
        warm = list(by_length.values()) if warm_up else []
        warm += [texts[n % len(texts)] for n in range(max(0, warm_up - len(warm)))]
        for text in warm:
            self.answer(text)
            beat()
        total: list[float] = []
        alone: list[float] = []
        readings: list[tuple[float, list[str | None]]] = []

        def read_meters() -> None:
            readings.append((time.perf_counter() - started, [read(path) for path in meters]))

        started = time.perf_counter()
        read_meters()
        cpu = time.process_time()
        started = last_beat = time.perf_counter()
        while len(total) < min_queries or time.perf_counter() - started < min_seconds:
            _, seconds, invoke = self.answer(texts[len(total) % len(texts)], slow_down)
            total.append(seconds)
            alone.append(invoke)
            if time.perf_counter() - last_beat > BEAT_SECONDS:
                beat()
                read_meters()
                last_beat = time.perf_counter()
        cpu_seconds, wall_seconds = time.process_time() - cpu, time.perf_counter() - started
        read_meters()
        return {
            "seconds": total,
            "invoke": alone,
            "cpu_seconds": cpu_seconds,
            "all_cpu_seconds": time.process_time() - asked,
            "wall_seconds": wall_seconds,
            "first_seconds": self.first_seconds,
            "read": readings,
        }


def _forget(path: str) -> None:
    """Have the kernel drop a file's pages, so that what loads it is timed from cold."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


class NullClassifier(Classifier):
    """Answers at once: what is timed then is the harness's own share of a latency."""

    def __init__(self) -> None:
        import numpy

        self.first_seconds = 0.0
        self._logits = numpy.zeros(3, numpy.float32)

    def encode(self, text: str) -> list[int]:
        return []

    def invoke(self, *_: Any) -> tuple[Any, float]:
        return self._logits, 0.0


def _answers(
    outputs: Mapping[str, tuple[str, tuple[int | None, ...]]],
    classes: int,
    scales: Mapping[str, Any],
) -> list[str]:
    """The names of the outputs that can be logits; the one that is called so, if it is there."""
    found = [
        name
        for name, (dtype, shape) in outputs.items()
        if shape == (1, classes) and (dtype == "float32" or (dtype in QUANTIZED and name in scales))
    ]
    return [OUTPUT] if OUTPUT in found else found


def _described(tensor: tuple[str, tuple[int | None, ...]]) -> dict[str, Any]:
    return {"dtype": tensor[0], "shape": list(tensor[1])}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment(distributions: Sequence[str]) -> dict[str, str]:
    """What an answer depends on besides the files; of these distributions, those that are here."""
    packages = {name: version for name in distributions if (version := _version(name))}
    own = {"machine": platform.machine(), "python": platform.python_version()}
    return own | {"bits": str(8 * struct.calcsize("P"))} | packages


class RequestHandler:
    """Takes requests, one method each, and keeps the one classifier."""

    OPERATIONS = (
        "memory",
        "read",
        "environment",
        "overhead",
        "privacy",
        "prepare",
        "load",
        "classify",
        "measure",
    )

    def __init__(self, channel: Any, guard: Sandbox | None) -> None:
        self.channel = channel
        self.guard = guard
        self._classifier: Classifier | None = None

    @property
    def classifier(self) -> Classifier:
        if self._classifier is None:
            raise StageError("worker", "nothing is loaded yet")
        return self._classifier

    def memory(self, reset_peak: bool = False) -> dict[str, Any]:
        used = self._classifier.lengths_used if self._classifier else ()
        return memory(reset_peak) | {"lengths_used": sorted(used)}

    def read(self, path: str) -> str | None:
        return read(path)

    def environment(self, distributions: list[str]) -> dict[str, str]:
        return environment(distributions)

    def overhead(self) -> float:
        """Seconds of a query, end-to-end, that are the harness's own: the median of many."""
        nothing = NullClassifier()
        return sorted(nothing.answer("")[1] for _ in range(1001))[500]

    def privacy(self) -> dict[str, Any]:
        if self.guard is None:
            raise StageError("worker", "this worker is not guarded")
        return self.guard.report()

    def prepare(self, model_file: str, runtime: dict[str, Any]) -> None:
        if self.guard is not None:
            raise StageError("worker", "this worker is guarded, and may write no file")
        prepare(model_file, runtime)

    def load(self, **request: Any) -> dict[str, Any]:
        if self._classifier is not None:
            raise StageError("worker", "a worker holds one classifier: start another")
        self._classifier = Classifier(**request)
        return self._classifier.about()

    def classify(self, **request: Any) -> dict[str, Any]:
        return self.classifier.classify(**request)

    def measure(self, **request: Any) -> dict[str, Any]:
        return self.classifier.measure(**request, beat=lambda: self.channel.send({"beat": True}))


def serve(channel: Any) -> None:
    """Answer requests until the caller closes the channel."""
    # One text at a time: the tokenizer's own threads would only cost memory.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    desk = RequestHandler(channel, Sandbox() if channel.receive()["guarded"] else None)
    for request in channel:
        op = request.pop("op")
        try:
            if op not in desk.OPERATIONS:
                raise StageError("worker", f"unknown request {op!r}")
            channel.send({"ok": getattr(desk, op)(**request)})
        except StageError as error:
            channel.send({"error": error.stage, "message": str(error)})
        except MemoryError:
            channel.send({"error": "memory", "message": f"{op}: no memory left for Python"})
        except BaseException as error:  # a fault must not look like a dead worker, nor a panic
            channel.send({"error": "worker", "message": f"{op}: {type(error).__name__}: {error}"})


if __name__ == "__channelexec__":
    serve(channel)  # type: ignore[name-defined]  # noqa: F821
