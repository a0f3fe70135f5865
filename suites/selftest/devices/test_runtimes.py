"""A runtime is one file: what it may import, what it says, and that nothing else names it."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from devices.boards.board import Board, this_machine
from devices.client import Binding, Worker
from devices.environments import python_for
from devices.errors import LoadError, NoRuntimeError, WorkerError
from devices.profile import profile, profiles
from devices.runtimes import DEFAULT, RUNTIMES
from models.modes import MODES

ROOT = Path(__file__).parents[3]
CACHE = ROOT / ".cache"
FILES = sorted((ROOT / "devices" / "runtimes").glob("[!_]*.py"))
WORKER = ROOT / "devices" / "worker.py"
LABELS = ("negative", "neutral", "positive")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "coffee"]
TABLE = np.random.default_rng(3).normal(size=(len(WORDS), len(LABELS))).astype(np.float32)
LONGEST = 16

# A runtime that looks its logits up in a table, which is its model file.
STUB = '''
"""stub: a table of logits by token id."""

from __future__ import annotations

NAME = "stub"
MODULE = "csv"
FORMAT = "tflite"
GROUP = "stub"
BY_DEFAULT = True
MODES = ("float32",)
SLOW = True
ENVIRONMENT = {"STUB_IS_TOLD": "yes"}


class Signature:
    name = "main"
    inputs = {name: ("int32", (1, 8)) for name in ("input_ids", "attention_mask")}
    outputs = {"logits": ("float32", (1, 3))}
    longest = None

    def __init__(self, rows):
        self.rows = rows

    def run(self, given):
        import numpy

        ids, mask = given["input_ids"][0], given["attention_mask"][0]
        return {"logits": numpy.array([(self.rows[ids] * mask[:, None]).sum(axis=0)], "float32")}


def load(runtime, model_file, threads):
    import os

    import numpy

    if os.environ["STUB_IS_TOLD"] != "yes":
        raise ValueError("its environment was not set")
    with open(model_file) as file:
        rows = numpy.array([[float(x) for x in row] for row in runtime.reader(file)])
    return [Signature(rows)], f"{threads} threads"
'''
# What a session does with it, in a tree that has one more file and no other change.
ASK = """
import sys
from devices.client import Worker
from devices.runtimes import DEFAULT, RUNTIMES
from fixtures.options import modes_of
from fixtures.target import TargetId

assert "stub" in DEFAULT and RUNTIMES["stub"].slow, RUNTIMES
assert modes_of("stub") == ("float32",), modes_of("stub")
assert str(TargetId("host", "stub", "float32")) == "host-stub-float32"
with Worker(f"popen//python={sys.executable}", deadline_s=60) as worker:
    loaded = worker.load(sys.argv[1], sys.argv[2], ("a", "b", "c"), "stub", threads=2)
    outputs = worker.classify(["good coffee"])
    assert worker.guard().attempts == ()
print(loaded.runtime, loaded.version, loaded.delegate, loaded.lengths, outputs.logits[0].tolist())
"""


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Tokenizer(models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


def expected(ids: list[int]) -> np.ndarray:
    return TABLE[ids].sum(axis=0)


# What a file is


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the modules that a file imports, and whether it does when it is itself imported."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node in tree.body


@pytest.mark.parametrize("path", [WORKER, *FILES], ids=lambda path: path.stem)
def test_what_runs_on_a_board_needs_nothing_that_is_not_sent_along(path: Path) -> None:
    sent = {f"devices.runtimes.{file.stem}" for file in FILES} if path != WORKER else set()
    own = next((r for r in RUNTIMES.values() if f"devices.runtimes.{path.stem}" in r.sources), None)
    late = {"numpy", "tokenizers"} | ({own.module.split(".")[0]} if own else set())
    for name, at_once in _imports(path):
        top = name.split(".")[0]
        allowed = top in sys.stdlib_module_names or name in sent
        assert allowed or (top in late and not at_once), f"{path.name} imports {name}"


def test_the_worker_names_no_runtime() -> None:
    text = WORKER.read_text()
    for runtime in RUNTIMES.values():
        for name in (runtime.name, runtime.module, runtime.group):
            assert not re.search(rf"\b{re.escape(name)}\b", text), name


def test_each_file_is_a_runtime_and_is_sent_after_what_it_imports() -> None:
    assert sorted(list(r.sources)[-1] for r in RUNTIMES.values()) == [
        f"devices.runtimes.{file.stem}" for file in FILES
    ]
    assert list(RUNTIMES["tflite-runtime"].sources) == [
        "devices.runtimes.litert",
        "devices.runtimes.tflite_runtime",
    ]
    for runtime in RUNTIMES.values():
        assert runtime.requirements[0].startswith(f"{runtime.group}==")
        modes = runtime.modes or [m for m, mode in MODES.items() if runtime.format in mode.formats]
        assert modes and set(modes) <= set(MODES)


def test_two_are_judged_by_default() -> None:
    assert DEFAULT == ("ai-edge-litert", "tflite-runtime")


def _copy(folder: Path, text: str) -> Path:
    for room in ("common", "devices", "data", "models", "reports", "fixtures"):
        shutil.copytree(
            ROOT / room, folder / room, ignore=shutil.ignore_patterns("zoo", "__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "suites").mkdir()
    (folder / "devices" / "runtimes" / "stub.py").write_text(text)
    return folder


def _ask(folder: Path, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_one_more_file_is_one_more_runtime(tmp_path: Path, tokenizer: Path) -> None:
    tree = _copy(tmp_path / "tree", STUB)
    np.savetxt(tmp_path / "table.csv", TABLE, delimiter=",")
    done = _ask(tree, ASK, tmp_path / "table.csv", tokenizer)
    assert done.returncode == 0, done.stderr
    said, _, logits = done.stdout.strip().partition(" [")
    assert said == "stub unknown 2 threads (8,)"
    assert np.array(logits[:-1].split(","), float) == pytest.approx(
        expected([2, 4, 6, 3]), abs=1e-5
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('NAME = "stub"\n', ""), r"stub\.py: .*missing.*'name'"),
        (("SLOW = True", "SLOWLY = True"), r"stub\.py: SLOWLY says nothing of a runtime.*SLOW"),
    ],
)
def test_a_file_that_is_no_runtime_is_named(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    done = _ask(_copy(tmp_path / "tree", STUB.replace(*change)), "import devices.runtimes")
    assert done.returncode == 1
    assert re.search(message, done.stderr.splitlines()[-1])


# Where it installs


def test_a_runtime_installs_where_there_is_a_wheel() -> None:
    bookworm = profile("pi4").image
    assert bookworm is not None
    assert all(runtime.installs_on(bookworm) for runtime in RUNTIMES.values())
    old = [board.image for board in profiles().values() if board.image not in (None, bookworm)]
    assert any(image and not RUNTIMES["onnxruntime"].installs_on(image) for image in old)


def test_a_runtime_that_an_emulated_board_has_not_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from devices.boards import emulation
    from devices.boards.board import emulated

    board = emulated("pi4", CACHE)
    assert board.offers("tflite-runtime") and board.offers("onnxruntime")
    monkeypatch.setattr(emulation, "pins", lambda _: ["tflite-runtime==2.14.0"])
    assert board.offers("tflite-runtime") and not board.offers("onnxruntime")
    with pytest.raises(NoRuntimeError, match=r"no onnxruntime: add onnxruntime to the group"):
        board.spec("onnxruntime")


# ONNX Runtime


def _onnx(path: Path, *, metadata: dict[str, str]) -> Path:
    """The sum of the rows of a table that the mask lets through, of any length."""
    onnx = pytest.importorskip("onnx", reason="the dependency group build installs it")
    helper, proto = onnx.helper, onnx.TensorProto
    inputs = [
        helper.make_tensor_value_info(name, proto.INT64, (1, "length"))
        for name in ("input_ids", "attention_mask")
    ]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"], axis=0),
        helper.make_node("Cast", ["attention_mask"], ["float"], to=proto.FLOAT),
        helper.make_node("Unsqueeze", ["float", "last"], ["mask"]),
        helper.make_node("Mul", ["rows", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
        # What padding costs: the number of tokens is added to every logit.
        helper.make_node("Shape", ["input_ids"], ["shape"], start=1),
        helper.make_node("Cast", ["shape"], ["count"], to=proto.FLOAT),
        helper.make_node("Add", ["sum", "count"], ["logits"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(TABLE, "table"),
        onnx.numpy_helper.from_array(np.array([-1]), "last"),
        onnx.numpy_helper.from_array(np.array([1]), "tokens"),
    ]
    logits = helper.make_tensor_value_info("logits", proto.FLOAT, (1, 3))
    graph = helper.make_graph(nodes, "small", inputs, [logits], constants)
    opsets = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def onnx_worker() -> Iterator[Worker]:
    python = python_for("onnxruntime", CACHE)
    with Worker(f"popen//python={python}", deadline_s=120) as started:
        yield started


def test_a_text_is_run_at_its_own_length(
    onnx_worker: Worker, tmp_path: Path, tokenizer: Path
) -> None:
    path = _onnx(tmp_path / "small.onnx", metadata={"max_tokens": str(LONGEST)})
    loaded = onnx_worker.load(path, tokenizer, LABELS, "onnxruntime")
    assert (loaded.lengths, loaded.any_length) == ((LONGEST,), True)
    outputs = onnx_worker.classify(["good coffee", "bad"])
    rows = [expected([2, 4, 6, 3]) + 4, expected([2, 5, 3]) + 3]
    assert outputs.logits == pytest.approx(np.array(rows), abs=1e-4)
    assert onnx_worker.memory().lengths_used == ()
    padded = onnx_worker.classify(["bad"], length=LONGEST)
    assert padded.logits[0] == pytest.approx(expected([2, 5, 3]) + LONGEST, abs=1e-4)
    assert onnx_worker.memory().lengths_used == (LONGEST,)
    long = onnx_worker.classify(["good " * LONGEST])
    assert long.truncated == 1
    kept = [2, *[4] * (LONGEST - 2), 3]
    assert long.logits[0] == pytest.approx(expected(kept) + LONGEST, abs=1e-4)
    with pytest.raises(WorkerError, match=r"no signature of 17, only \[16\]"):
        onnx_worker.classify(["bad"], length=LONGEST + 1)
    timings = onnx_worker.measure(["bad", "good coffee"], min_queries=4, min_seconds=0, warm_up=1)
    assert len(timings.seconds) == 4
    assert onnx_worker.guard().attempts == ()


def test_a_model_of_any_length_says_its_longest_or_is_told(
    onnx_worker: Worker, tmp_path: Path, tokenizer: Path
) -> None:
    path = _onnx(tmp_path / "small.onnx", metadata={})
    with pytest.raises(LoadError, match=r"no fixed length.*add max_tokens to its metadata_props"):
        onnx_worker.load(path, tokenizer, LABELS, "onnxruntime")
    told = Binding(longest=8)
    assert onnx_worker.load(path, tokenizer, LABELS, "onnxruntime", binding=told).lengths == (8,)


def test_what_is_no_onnx_is_refused(onnx_worker: Worker, tmp_path: Path, tokenizer: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(LoadError, match=r"onnxruntime refuses .*text\.onnx"):
        onnx_worker.load(tmp_path / "text.onnx", tokenizer, LABELS, "onnxruntime")


# What a runtime prepares

PREPARING = (
    STUB
    + """

def prepare(runtime, model_file):
    with open(model_file) as file:
        rows = list(runtime.reader(file))
    with open(model_file + ".prepared", "w") as file:
        runtime.writer(file).writerows(rows)
"""
)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = replace(
        RUNTIMES["ai-edge-litert"],
        name="stub",
        module="csv",
        environment={"STUB_IS_TOLD": "yes"},
        prepares=True,
        sources={"devices.runtimes.stub": PREPARING},
    )
    for room in ("client", "boards.board"):
        monkeypatch.setattr(f"devices.{room}.RUNTIMES", {"stub": runtime})


@pytest.mark.usefixtures("stub")
def test_a_runtime_prepares_a_file_beforehand_and_next_to_a_link_to_it(tmp_path: Path) -> None:
    here = this_machine("host", tmp_path / "cache")
    board = Board(
        "host",
        here.profile,
        here.machine,
        lambda _: f"popen//python={sys.executable}",
        folder=here.folder,
    )
    model = tmp_path / "table.csv"
    np.savetxt(model, TABLE, delimiter=",")
    for _ in range(2):
        link = Path(board.prepare(model, "stub"))
    assert link.resolve() == model
    assert link.with_name("table.csv.prepared").read_text().count("\n") == len(WORDS)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["table.csv"]


@pytest.mark.usefixtures("stub")
def test_only_an_unguarded_worker_prepares(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "table.csv", TABLE, delimiter=",")
    spec = f"popen//python={sys.executable}"
    refused = pytest.raises(WorkerError, match="is guarded, and may write no file")
    with Worker(spec, deadline_s=60) as worker, refused:
        worker.prepare(tmp_path / "table.csv", "stub")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    refused = pytest.raises(WorkerError, match="is not guarded")
    with Worker(spec, guarded=False, deadline_s=60) as worker, refused:
        worker.guard()
