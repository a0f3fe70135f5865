"""A worker answers right, dies alone, is never waited for without end, and keeps texts private.

The real runtimes run a real FlatBuffer, small, whose logits depend on the ids, on the mask, on the
token types, and on which input is which, so that a swapped or an ignored one shows. Runtimes that
misbehave are planted: a module of a runtime's name on the worker's PYTHONPATH.
"""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from devices import client
from devices.boards.detection import detect
from devices.client import Binding, Worker
from devices.environments import python_for
from devices.errors import DeviceError, InvokeError, LoadError, NoRuntimeError, WorkerError
from devices.measurement.health import snapshot
from devices.runtimes import RUNTIMES
from models.tflite.transformations import rewritten
from suites.fuzz import replies
from suites.selftest import foreign
from suites.selftest.fixtures.test_orphans import descendants

CACHE = Path(__file__).parents[3] / ".cache"
TFLITE = [name for name, runtime in RUNTIMES.items() if runtime.format == "tflite"]
LABELS = ("negative", "neutral", "positive")
USAGE: dict[str, object] = {"resident": 1, "peak": 2, "anonymous": 1, "lengths_used": [8]}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "coffee", "train", "late", "!"]
TABLE = np.random.default_rng(7).normal(size=(len(WORDS), len(LABELS))).astype(np.float32) * 3

MAKE_FLATBUFFER = """
import sys
import numpy as np
import tensorflow as tf

table = tf.constant(np.load(sys.argv[1]))

class Small(tf.Module):
    def answer(self, input_ids, attention_mask, token_type_ids):
        mask = tf.cast(attention_mask, tf.float32)[..., None]
        kinds = tf.cast(token_type_ids, tf.float32)[..., None]
        logits = tf.reduce_sum(tf.gather(table, input_ids) * (mask + 2.0 * kinds), axis=1)
        return {"logits": logits}

small = Small()
# Named so that neither the order nor the name gives the length away.
signatures = {
    name: tf.function(small.answer).get_concrete_function(
        **{k: tf.TensorSpec([1, n], tf.int32, name=k)
           for k in ("input_ids", "attention_mask", "token_type_ids")})
    for name, n in (("a_longer", 16), ("b_shorter", 8))
}
tf.saved_model.save(small, sys.argv[2], signatures=signatures)
converter = tf.lite.TFLiteConverter.from_saved_model(sys.argv[2], signature_keys=list(signatures))
open(sys.argv[3], "wb").write(converter.convert())
"""


@dataclass(frozen=True)
class Files:
    """What a worker is given."""

    model_file: Path
    tokenizer: Path


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {word: n for n, word in enumerate(WORDS)}
    made = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # What a careless exporter leaves behind; the worker must not believe it.
    made.enable_truncation(max_length=4)
    made.enable_padding(length=12)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Files:
    pytest.importorskip("tensorflow", reason="the small FlatBuffer is made with TensorFlow")
    folder = tmp_path_factory.mktemp("small")
    np.save(folder / "table.npy", TABLE)
    arguments = [folder / "table.npy", folder / "saved", folder / "small.tflite"]
    # In a process of its own, so that TensorFlow does not stay in this one.
    subprocess.run([sys.executable, "-c", MAKE_FLATBUFFER, *arguments], check=True)
    return Files(folder / "small.tflite", tokenizer)


@pytest.fixture(scope="session", params=TFLITE)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def worker(runtime: str, files: Files) -> Iterator[Worker]:
    with Worker(f"popen//python={python_for(runtime, CACHE)}") as started:
        started.load(files.model_file, files.tokenizer, LABELS, runtime, threads=2)
        yield started


@pytest.fixture
def fresh(runtime: str) -> Iterator[Worker]:
    with Worker(f"popen//python={python_for(runtime, CACHE)}") as started:
        yield started


def expected(
    ids: list[int], mask: list[int] | None = None, types: list[int] | None = None
) -> np.ndarray:
    """The logits [3] that the small FlatBuffer must answer."""
    ones = np.ones(len(ids)) if mask is None else np.array(mask)
    kinds = np.zeros(len(ids)) if types is None else np.array(types)
    return ((ones + 2 * kinds)[:, None] * TABLE[ids]).sum(axis=0)


# Answers


def test_a_text_becomes_the_label_that_arithmetic_gives(worker: Worker) -> None:
    outputs = worker.classify(["Good coffee!", "the train late", ""])
    rows = [[2, 4, 6, 9, 3], [2, 1, 7, 8, 3], [2, 3]]
    assert outputs.logits.dtype == np.float32
    assert outputs.logits == pytest.approx(np.array([expected(row) for row in rows]), abs=1e-4)
    assert outputs.predictions.tolist() == [int(expected(row).argmax()) for row in rows]
    assert (outputs.tokens, outputs.truncated, outputs.labels) == ((5, 5, 2), 0, LABELS)


def test_inputs_are_bound_by_name(worker: Worker) -> None:
    ids, mask, types = [2, 4, 5, 3], [1, 0, 1, 1], [0, 0, 1, 1]
    outputs = worker.classify_ids([ids], masks=[mask], types=[types])
    assert outputs.logits[0] == pytest.approx(expected(ids, mask, types), abs=1e-4)


def _renamed(files: Files, path: Path, names: dict[str, str]) -> Path:
    def change(model: Any) -> None:
        for definition in model.signatureDefs:
            for tensor in definition.inputs + definition.outputs:
                tensor.name = names.get(tensor.name.decode(), tensor.name.decode()).encode()

    path.write_bytes(rewritten(files.model_file.read_bytes(), change))
    return path


def test_names_of_other_toolchains(
    runtime: str, fresh: Worker, files: Files, tmp_path: Path
) -> None:
    """What TensorFlow puts around a name is seen through, and the only output is the logits."""
    names = {name: f"serving_default_{name}:0" for name in ("input_ids", "token_type_ids")}
    names |= {"logits": "StatefulPartitionedCall:0"}
    path = _renamed(files, tmp_path / "renamed.tflite", names)
    fresh.load(path, files.tokenizer, LABELS, runtime)
    ids, mask, types = [2, 4, 5, 3], [1, 0, 1, 1], [0, 0, 1, 1]
    outputs = fresh.classify_ids([ids], masks=[mask], types=[types])
    assert outputs.logits[0] == pytest.approx(expected(ids, mask, types), abs=1e-4)


def test_names_that_tell_nothing_are_refused(
    runtime: str, fresh: Worker, files: Files, tmp_path: Path
) -> None:
    names = {name: f"args_{n}" for n, name in enumerate(("input_ids", "attention_mask"))}
    path = _renamed(files, tmp_path / "renamed.tflite", names)
    with pytest.raises(
        LoadError, match=r"\['args_0', 'args_1', 'token_type_ids'\].* by name alone"
    ):
        fresh.load(path, files.tokenizer, LABELS, runtime)


@pytest.mark.parametrize("scale", [None, (0.25, 100)])
def test_a_file_without_a_signature_is_fed_and_read_as_it_is_bound(
    scale: tuple[float, int] | None, runtime: str, fresh: Worker, files: Files, tmp_path: Path
) -> None:
    """By its tensors' names, and with the scale of a quantized output."""
    names = {"input_ids": "args_2", "attention_mask": "args_0", "token_type_ids": "args_1"}
    content, path = files.model_file.read_bytes(), tmp_path / "foreign.tflite"
    foreign.write(path, content, names, signature=False, scale=scale)
    binding = Binding({name: what for what, name in names.items()}, {"output_0": scale or (1, 0)})
    binding = binding if scale else replace(binding, scales={})
    loaded = fresh.load(path, files.tokenizer, LABELS, runtime, binding=binding)
    assert loaded.lengths == (8,)
    ids, mask, types = [2, 4, 5, 3], [1, 0, 1, 1], [0, 0, 1, 1]
    outputs = fresh.classify_ids([ids], masks=[mask], types=[types])
    error = scale[0] / 2 if scale else 1e-4
    assert outputs.logits[0] == pytest.approx(expected(ids, mask, types), abs=error)


def test_a_length_that_is_not_fixed_is_refused(
    runtime: str, fresh: Worker, files: Files, tmp_path: Path
) -> None:
    """Such a file says that it takes one token, and would be fed [SEP] alone."""

    def change(model: Any) -> None:
        for definition in model.signatureDefs:
            tensors = model.subgraphs[definition.subgraphIndex].tensors
            for tensor in definition.inputs:
                tensors[tensor.tensorIndex].shapeSignature = [1, -1]

    path = tmp_path / "dynamic.tflite"
    path.write_bytes(rewritten(files.model_file.read_bytes(), change))
    with pytest.raises(
        LoadError, match=r"no fixed length; convert it with inputs of \[1, LENGTH\]"
    ):
        fresh.load(path, files.tokenizer, LABELS, runtime)


def test_a_tweet_goes_to_the_shortest_signature_it_fits(
    fresh: Worker, files: Files, runtime: str
) -> None:
    fresh.load(files.model_file, files.tokenizer, LABELS, runtime)
    fresh.classify(["good " * 6])
    assert fresh.memory().lengths_used == (8,)
    fresh.classify(["good " * 7])
    assert fresh.memory().lengths_used == (8, 16)


def test_a_forced_length_changes_nothing_but_the_signature(worker: Worker) -> None:
    short = worker.classify(["good train"])
    padded = worker.classify(["good train"], length=16)
    assert padded.logits == pytest.approx(short.logits, abs=1e-4)
    with pytest.raises(WorkerError, match=r"no signature of 12, only \[8, 16\]"):
        worker.classify(["good"], length=12)


@pytest.mark.parametrize(("words", "tokens", "cut"), [(14, 16, 0), (15, 17, 1)])
def test_truncation_is_counted_and_keeps_sep(
    worker: Worker, words: int, tokens: int, cut: int
) -> None:
    outputs = worker.classify([" ".join(["bad"] * words), "good"])
    kept = [2] + [5] * 14 + [3]
    assert (outputs.tokens, outputs.truncated) == ((tokens, 3), cut)
    assert outputs.logits[0] == pytest.approx(expected(kept), abs=1e-4)


def test_odd_texts_are_answered(worker: Worker) -> None:
    texts = ["", " ", "\0", "😀" * 10_000, "😀 " * 10_000, "ÑÑ¢ \u202e\u200b", "a" * 10_000]
    outputs = worker.classify(texts)
    assert np.isfinite(outputs.logits).all()
    assert len(outputs.predictions) == len(texts)
    assert outputs.truncated == 1


def test_more_texts_than_fit_in_a_request_keep_their_order(worker: Worker) -> None:
    texts = [" ".join(["good"] * (n % 5)) for n in range(30)]
    together = worker.classify(texts).logits
    assert together == pytest.approx(
        np.array([expected([2] + [4] * (n % 5) + [3]) for n in range(30)]), abs=1e-4
    )
    assert worker.classify([]).logits.shape == (0, 3)


def test_the_load_reports_what_the_file_contains(fresh: Worker, files: Files, runtime: str) -> None:
    with pytest.raises(WorkerError, match=r"nothing is loaded yet"):
        fresh.classify(["good"])
    loaded = fresh.load(files.model_file, files.tokenizer, LABELS, runtime)
    assert loaded.runtime == runtime
    assert f"{RUNTIMES[runtime].group}=={loaded.version}" in RUNTIMES[runtime].requirements
    assert loaded.lengths == (8, 16)
    assert [signature["name"] for signature in loaded.signatures] == ["b_shorter", "a_longer"]
    assert loaded.signatures[0]["outputs"] == {"logits": {"dtype": "float32", "shape": [1, 3]}}
    assert loaded.load_seconds > 0
    with pytest.raises(WorkerError, match=r"holds one classifier"):
        fresh.load(files.model_file, files.tokenizer, LABELS, runtime)


# Time and memory


def test_a_measurement_is_long_enough_and_on_the_runner_s_clock(worker: Worker) -> None:
    started = time.perf_counter()
    timings = worker.measure(["good", "bad " * 12], min_queries=20, min_seconds=0.5, warm_up=5)
    around = time.perf_counter() - started
    assert len(timings.seconds) == len(timings.invoke) >= 20
    assert 0.5 <= timings.wall_seconds <= around
    assert (timings.seconds >= timings.invoke).all()
    assert (timings.invoke > 0).all()
    assert timings.seconds.sum() <= timings.wall_seconds
    assert timings.first_seconds > 0
    assert 0 < timings.cpu_seconds < timings.all_cpu_seconds


def test_without_warm_up_nothing_but_the_queries_is_answered(
    fresh: Worker, files: Files, runtime: str
) -> None:
    fresh.load(files.model_file, files.tokenizer, LABELS, runtime)
    texts = ["good", "bad " * 12]
    fresh.measure(texts, min_queries=1, min_seconds=0, warm_up=0)
    assert not fresh.measure(texts, min_queries=0, min_seconds=0, warm_up=0).seconds.size
    assert fresh.memory().lengths_used == (8,)
    fresh.measure(texts, min_queries=1, min_seconds=0, warm_up=1)
    assert fresh.memory().lengths_used == (8, 16)


def test_memory_is_above_a_bare_runner(worker: Worker) -> None:
    memory = worker.memory()
    assert 5 < memory.bare_mb == worker.bare_memory() < 60
    assert 0 < memory.resident_mb <= memory.peak_mb < 500
    assert set(memory.lengths_used) <= {8, 16}


def test_the_peak_can_start_anew(fresh: Worker, files: Files, runtime: str) -> None:
    fresh.load(files.model_file, files.tokenizer, LABELS, runtime)
    fresh.memory(reset_peak=True)
    after = fresh.memory()
    # The kernel's counters are exact to a few hundred pages.
    assert after.peak_mb == pytest.approx(after.resident_mb, abs=2)
    assert fresh.guard().attempts == ()


def test_a_board_behind_a_gateway_can_be_asked_what_it_is(worker: Worker) -> None:
    assert detect(read=worker.read) == detect()
    assert snapshot(worker.read).total_s > 0
    assert worker.read("/no/such/file") is None


# Refusals


def test_a_truncated_flatbuffer_is_refused_at_load(
    fresh: Worker, files: Files, runtime: str, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(files.model_file.read_bytes()[:1000])
    with pytest.raises(LoadError, match=r"cut\.tflite"):
        fresh.load(cut, files.tokenizer, LABELS, runtime)


def test_what_is_no_flatbuffer_is_refused_at_load(
    fresh: Worker, files: Files, runtime: str, tmp_path: Path
) -> None:
    (tmp_path / "text.tflite").write_text("not a FlatBuffer")
    for path, reason in (("text.tflite", "refuses"), ("none.tflite", "no file")):
        with pytest.raises(LoadError, match=reason):
            fresh.load(tmp_path / path, files.tokenizer, LABELS, runtime)


def test_a_wrong_number_of_labels_is_refused_at_load(
    fresh: Worker, files: Files, runtime: str
) -> None:
    with pytest.raises(LoadError, match=r"one for each label"):
        fresh.load(files.model_file, files.tokenizer, ("yes", "no"), runtime)


def test_a_bad_tokenizer_is_refused_at_load(
    fresh: Worker, files: Files, runtime: str, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(LoadError, match=r"no tokenizer\.json"):
        fresh.load(files.model_file, tmp_path / "tokenizer.json", LABELS, runtime)


def test_an_environment_without_the_runtime_is_named(
    fresh: Worker, files: Files, runtime: str
) -> None:
    own = RUNTIMES[runtime].group
    other = next(name for name in RUNTIMES if RUNTIMES[name].group != own)
    with pytest.raises(NoRuntimeError, match=other):
        fresh.load(files.model_file, files.tokenizer, LABELS, other)


@pytest.mark.parametrize(
    "spec",
    [
        *("socket=localhost:1", "popen//via=x", "popen//ssh=x", "=", ""),
        *("ssh", "popen//python", "popen//env:A", "popen//python='"),
    ],
)
def test_a_spec_that_is_no_runner_s_is_refused(spec: str) -> None:
    with pytest.raises(DeviceError):
        Worker(spec)


# Planted runtimes: what a broken one does, and what becomes of it

PLANTED = """
import ctypes, os, pathlib, socket, subprocess, sys, time
import numpy as np

def python_socket():
    socket.create_connection(("127.0.0.1", 9), timeout=1)

def native_socket():
    libc = ctypes.CDLL(None)
    family, port, address = (2).to_bytes(2, "little"), (9).to_bytes(2, "big"), bytes([192, 0, 2, 1])
    libc.connect(libc.socket(2, 1, 0), family + port + address + bytes(8), 16)

def python_write():
    pathlib.Path(os.environ["LEAK"]).write_text("tweet")

def native_write():
    libc = ctypes.CDLL(None)
    file = libc.open(os.environ["LEAK"].encode(), os.O_CREAT | os.O_WRONLY, 0o600)
    libc.write(file, b"tweet", 5)

def start_process():
    subprocess.run(["touch", os.environ["LEAK"]])

def crash():
    print("about to crash", file=sys.stderr, flush=True)
    ctypes.string_at(0)

def sleep():
    time.sleep(600)

def hold_the_gil():
    ctypes.PyDLL(None).sleep(600)

def fail():
    raise RuntimeError("Node number 3 failed to invoke")

def stop():
    os._exit(3)

def well_behaved():
    pass

def nap():
    time.sleep(0.02)

class Signature:
    def __init__(self, deed):
        self.deed = deed
    def get_input_details(self):
        tensor = {"dtype": np.int32, "shape": [1, 8], "shape_signature": [1, 8]}
        return {k: tensor for k in ("input_ids", "attention_mask")}
    def get_output_details(self):
        return {"logits": {"dtype": np.float32, "shape": [1, 3]}}
    def __call__(self, **inputs):
        try:
            globals()[self.deed]()
        except OSError:
            pass  # a leak that hides its failure is still a leak
        return {"logits": np.zeros((1, 3), np.float32)}

class Interpreter:
    def __init__(self, model_path, num_threads):
        self.deed = pathlib.Path(model_path).read_text()
    def allocate_tensors(self):
        pass
    def get_signature_list(self):
        return {"only": {}}
    def get_signature_runner(self, key):
        return Signature(self.deed)
"""


@pytest.fixture
def planted(tmp_path: Path, tokenizer: Path) -> Iterator[Callable[..., Worker]]:
    """Starts a worker whose runtime does one named thing at every invoke."""
    package = tmp_path / "planted" / "tflite_runtime"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(textwrap.dedent(PLANTED))
    started: list[Worker] = []

    def start(deed: str, *, isolate: bool = True) -> Worker:
        spec = f"popen//python={sys.executable}//env:PYTHONPATH={package.parent}//env:LEAK={leak}"
        started.append(Worker(spec, isolate=isolate))
        (tmp_path / "model.tflite").write_text(deed)
        started[-1].load(tmp_path / "model.tflite", tokenizer, LABELS, "tflite-runtime")
        return started[-1]

    leak = tmp_path / "leak"
    yield start
    for one in started:
        one.close()
        assert_gone(one)


def assert_gone(worker: Worker) -> None:
    with pytest.raises(ProcessLookupError):
        os.killpg(worker.pid, 0)


def test_a_crash_is_one_error_with_its_signal_and_last_words(
    planted: Callable[..., Worker],
) -> None:
    worker = planted("crash")
    with pytest.raises(InvokeError, match=r"(?s)crashed.*died of SIGSEGV.*about to crash") as crash:
        worker.classify(["good"])
    first, *last_words = str(crash.value).splitlines()
    assert first == (
        "the runtime crashed: classify: lost the worker at this machine: it died of SIGSEGV "
        "(a crash of native code, most likely the runtime's; judge another mode or runtime there); "
        "its last lines:"
    )
    assert last_words
    assert_gone(worker)
    with pytest.raises(InvokeError, match=r"lost the worker"):
        worker.classify(["good"])


def test_a_runner_killed_from_outside_does_not_hang_its_caller(
    planted: Callable[..., Worker],
) -> None:
    worker = planted("sleep")
    killer = threading.Timer(0.5, os.kill, (worker.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(WorkerError, match=r"died of SIGKILL"):
        worker.classify(["good"])
    assert_gone(worker)


def test_a_runner_that_exits_says_its_status(planted: Callable[..., Worker]) -> None:
    with pytest.raises(WorkerError, match=r"exited with status 3"):
        planted("stop").classify(["good"])


# A short deadline is set only where the worker would never answer, however fast the machine is.


def test_a_request_larger_than_the_pipe_has_a_deadline_too(planted: Callable[..., Worker]) -> None:
    worker = planted("well_behaved")
    os.kill(worker.pid, signal.SIGSTOP)  # it reads nothing, so the pipe stays full
    rescue = threading.Timer(300, os.kill, (worker.pid, signal.SIGKILL))  # where there is none
    rescue.start()
    worker.deadline_s = 1
    with pytest.raises(WorkerError, match=r"silent for 1 s"):
        worker.measure(["good"] + ["x" * 1_000_000] * 8, min_queries=1, min_seconds=0)
    rescue.cancel()
    assert_gone(worker)
    with pytest.raises(WorkerError, match=r"lost the worker"):
        worker.classify(["good"])


@pytest.mark.parametrize("deed", ["sleep", "hold_the_gil"])
def test_a_silent_runner_is_killed_at_its_deadline(
    planted: Callable[..., Worker], deed: str
) -> None:
    worker = planted(deed)
    worker.deadline_s = 1
    with pytest.raises(WorkerError, match=r"silent for 1 s"):
        worker.classify(["good"])
    assert_gone(worker)


def test_meters_are_read_while_it_measures(planted: Callable[..., Worker], tmp_path: Path) -> None:
    (tmp_path / "power").write_text("3000000\n")
    timings = planted("well_behaved").measure(
        ["a"], min_queries=1, min_seconds=0.1, meters=[str(tmp_path / "power"), "/no/such"]
    )
    assert 0.1 <= timings.wall_seconds <= timings.readings[-1][0]
    assert {texts for _, texts in timings.readings} == {("3000000\n", None)}


def test_a_planted_slow_down_is_as_large_as_asked(planted: Callable[..., Worker]) -> None:
    """Of each query's own time, however long the machine took for it."""
    slow = planted("nap").measure(["a"], min_queries=10, min_seconds=0, warm_up=0, slow_down=3.0)
    assert (slow.seconds >= 4 * slow.invoke).all()


def test_the_harness_s_own_share_is_measured(planted: Callable[..., Worker]) -> None:
    """How large it is, each latency run records: `harness_overhead_ms`, `round_trip_ms`."""
    own, round_trip = planted("well_behaved").overhead()
    assert own > 0
    assert round_trip > 0


def test_a_runner_that_never_starts_is_no_hang() -> None:
    with pytest.raises(WorkerError, match=r"^no worker at the attic's within 1 s: it was silent"):
        Worker("popen//python=sh -c 'sleep 600'", deadline_s=1, name="the attic's")
    missing = (
        r"^no worker at this machine .*no such command; name the board's Python.*no-such-python"
    )
    with pytest.raises(WorkerError, match=f"(?s){missing}"):
        Worker("popen//python=/no-such-python")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            {"ok": {"resident": 1, "peak": "2", "anonymous": 1, "lengths_used": []}},
            r"memory\.peak: expected an? \w+, found '2'",
        ),
        ({"ok": [1, 2]}, "memory: expected an object, found list of 2"),
        ({"ok": None}, "memory: expected an object, found (None|null)"),
        ({"error": "load"}, r"reply\.ok: missing"),
        (b"ok", "reply: expected an object, found bytes of 2"),
        (range(3), "failed: .*range"),  # which execnet cannot send
    ],
)
def test_what_no_worker_replies_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reply: object, said: str
) -> None:
    monkeypatch.setattr(client, "worker", replies)
    file = tmp_path / "reply"
    file.write_bytes(pickle.dumps({"ok": replies.SOUND["memory"]}))
    spec = f"popen//python={sys.executable}//env:{replies.VARIABLE}={file}"
    with Worker(spec, name="the attic's", isolate=False) as worker:
        file.write_bytes(pickle.dumps(reply))
        with pytest.raises(WorkerError, match=rf"^memory: .*the attic's .*{said}[^\n]*$"):
            worker.memory()


def test_a_worker_that_replies_nonsense_at_its_start_is_not_left_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(client, "worker", replies)
    file = tmp_path / "reply"
    file.write_bytes(pickle.dumps({"ok": {}}))
    before = descendants(os.getpid())
    with pytest.raises(WorkerError, match=r"what no worker replies .*missing"):
        Worker(f"popen//python={sys.executable}//env:{replies.VARIABLE}={file}", isolate=False)
    assert descendants(os.getpid()) == before


def test_latencies_below_zero_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(client, "worker", replies)
    file = tmp_path / "reply"
    sound: Any = replies.SOUND["measure"]
    file.write_bytes(pickle.dumps({"ok": replies.SOUND["memory"]}))
    spec = f"popen//python={sys.executable}//env:{replies.VARIABLE}={file}"
    with Worker(spec, isolate=False) as worker:
        file.write_bytes(pickle.dumps({"ok": replies.SOUND["load"]}))
        worker.load("a.tflite", "tokenizer.json", replies.LABELS, "ai-edge-litert")
        file.write_bytes(pickle.dumps({"ok": sound}))
        assert worker.measure(["one"], min_queries=64, min_seconds=0).seconds.size == 64
        file.write_bytes(pickle.dumps({"ok": sound | {"seconds": [-0.1, *sound["seconds"][1:]]}}))
        with pytest.raises(WorkerError, match="latencies that are no positive seconds"):
            worker.measure(["one"], min_queries=64, min_seconds=0)


def test_logits_of_other_texts_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(client, "worker", replies)
    file = tmp_path / "reply"
    file.write_bytes(pickle.dumps({"ok": replies.SOUND["memory"]}))
    spec = f"popen//python={sys.executable}//env:{replies.VARIABLE}={file}"
    with Worker(spec, isolate=False) as worker:
        file.write_bytes(pickle.dumps({"ok": replies.SOUND["load"]}))
        worker.load("a.tflite", "tokenizer.json", replies.LABELS, "ai-edge-litert")
        file.write_bytes(pickle.dumps({"ok": replies.SOUND["classify"]}))
        assert worker.classify(["one", "two"]).logits.shape == (2, 3)
        with pytest.raises(WorkerError, match=r"sent what no worker replies .24 bytes of 3 texts"):
            worker.classify(["one", "two", "three"])


def test_a_failing_invoke_is_an_invoke_error_and_the_runner_lives(
    planted: Callable[..., Worker],
) -> None:
    worker = planted("fail")
    for _ in range(2):
        with pytest.raises(InvokeError, match=r"Node number 3 failed"):
            worker.classify(["good"])


def test_over_ssh_nothing_changes_but_the_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Files
) -> None:
    """A stand-in for ssh that runs the command here, in a shell, as sshd does."""
    (tmp_path / "ssh").write_text('#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n')
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    python = python_for("ai-edge-litert", CACHE)
    with Worker(f"ssh=pi@board//python={python}") as worker:
        worker.load(files.model_file, files.tokenizer, LABELS, "ai-edge-litert")
        assert worker.classify(["good"]).tokens == (3,)
    assert_gone(worker)


# Privacy


def test_a_runtime_needs_neither_network_nor_files(worker: Worker) -> None:
    worker.classify(["good", "bad " * 12])
    report = worker.guard()
    assert report.attempts == ()
    assert report.network in {"network namespace", "audit hook"}


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize(
    ("deed", "named"),
    [
        ("python_socket", "socket."),
        ("python_write", "leak' for writing"),
        ("native_write", "size limit"),
        ("start_process", "subprocess.Popen"),
    ],
)
def test_a_leak_is_stopped_and_caught_by_name(
    planted: Callable[..., Worker], tmp_path: Path, deed: str, named: str, isolate: bool
) -> None:
    worker = planted(deed, isolate=isolate)
    worker.classify(["my own text"])
    attempts = worker.guard().attempts
    assert any(named in attempt for attempt in attempts), attempts
    leak = tmp_path / "leak"
    assert not leak.exists() or leak.read_bytes() == b""


def test_a_native_connection_is_caught_in_a_network_namespace(
    planted: Callable[..., Worker],
) -> None:
    worker = planted("native_socket")
    if worker.guard().network != "network namespace":
        pytest.skip("this machine permits no network namespace")
    worker.classify(["my own text"])
    assert any("native code" in attempt for attempt in worker.guard().connections)


def test_the_weaker_guard_says_that_it_is_weaker(planted: Callable[..., Worker]) -> None:
    assert planted("well_behaved", isolate=False).guard().network == "audit hook"
