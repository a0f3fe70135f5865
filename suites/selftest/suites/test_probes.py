"""What texts seldom ask: faults that no evaluation text shows, planted in a real model file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from common.cache import Cache
from data.dataset import Dataset
from fit import main
from fixtures import tolerance
from fixtures.target import Probed, TargetId
from models import modes
from models.checkpoints.checkpoint import Checkpoint, open_checkpoint
from models.checkpoints.probes import KINDS, Probe, checksum, frame, probes
from models.modes import MODES
from models.tflite.constants import differences
from models.tflite.flatbuffer import shape_of, unpack
from models.tflite.transformations import rewritten
from reports.verdict import Fails, Inconclusive
from suites.selftest import synthetic
from suites.selftest.conftest import BareWorker
from suites.selftest.suites.planted import claim, fresh_check, opens, planted

# Changes a model; takes its float32 file too.
Fault = Callable[[Any, Path], None]
CLAIM = claim("conformance")
TARGET = TargetId("host", "ai-edge-litert", "int4")
PIECE = 4711
POSITION = 100
FIRST_POSITION = 48
HEAD = range(32, 64)
CHANNEL = 7
# Of the candidate: what int4 costs it is about 0.06 in the mean.
TOLERANCE = tolerance.Tolerance(0.07, 0.6, "what the mode promises")


@pytest.fixture(scope="module")
def made_from(path32: Path) -> Path:
    return path32


@pytest.fixture(scope="module")
def sound(checkpoint: Checkpoint, cache: Cache) -> Path:
    return modes.build("int4", checkpoint, cache)


def _weights(model: Any, made_from: Path, name: str) -> Any:
    """Return the constant that has this name in the float32 file: a quantized file has no names,
    and its operators in the same order."""
    named = unpack(made_from.read_bytes(), made_from).subgraphs[0]
    graph = model.subgraphs[0]
    for operator, theirs in zip(graph.operators, named.operators, strict=True):
        if len(theirs.inputs) > 1 and name in named.tensors[theirs.inputs[1]].name.decode():
            return graph.tensors[operator.inputs[1]]
    raise AssertionError(f"no {name}")


def _each_of(model: Any, tensor: Any) -> list[Any]:
    """Return the tensors of every signature that share a constant."""
    tensors = [each for graph in model.subgraphs for each in graph.tensors]
    return [each for each in tensors if each.buffer == tensor.buffer]


def _scales(model: Any, tensor: Any, change: Callable[[np.ndarray], None]) -> None:
    for each in _each_of(model, tensor):
        scale = np.array(each.quantization.scale, np.float32)
        change(scale)
        each.quantization.scale = scale


def _break_a_row(model: Any, made_from: Path, name: str, row: int) -> None:
    def change(scale: np.ndarray) -> None:
        scale[row] = np.nan

    _scales(model, _weights(model, made_from, name), change)


def _break_a_piece(model: Any, made_from: Path) -> None:
    _break_a_row(model, made_from, "word_embeddings", PIECE)


def _break_a_position(model: Any, made_from: Path) -> None:
    _break_a_row(model, made_from, "position_embeddings", POSITION)


def _shift_positions(model: Any, made_from: Path) -> None:
    table = _weights(model, made_from, "position_embeddings")
    rows = shape_of(table)[0]
    numbers = np.array(model.buffers[table.buffer].data, np.uint8).reshape(rows, -1)
    numbers[FIRST_POSITION:] = np.roll(numbers[FIRST_POSITION:], 1, axis=0)
    model.buffers[table.buffer].data = numbers.reshape(-1)

    def change(scale: np.ndarray) -> None:
        scale[FIRST_POSITION:] = np.roll(scale[FIRST_POSITION:], 1)

    _scales(model, table, change)


def _zero_a_head(model: Any, made_from: Path) -> None:
    def change(scale: np.ndarray) -> None:
        scale[list(HEAD)] = 1e-12

    _scales(model, _weights(model, made_from, "layer.3.attention.self.value/MatMul"), change)


def _scale_a_channel(model: Any, made_from: Path) -> None:
    def change(scale: np.ndarray) -> None:
        scale[CHANNEL] *= 1.1

    _scales(model, _weights(model, made_from, "layer.5.ffn.0.output.dense/MatMul"), change)


def _plant(source: Path, made_from: Path, folder: Path, *changes: Fault) -> Path:
    def change(model: Any) -> None:
        for each in changes:
            each(model, made_from)

    path = folder / "planted.tflite"
    path.write_bytes(rewritten(source.read_bytes(), change))
    return path


def test_a_sound_file_has_the_checkpoints_weights(sound: Path, made_from: Path) -> None:
    compared, found = differences(sound, made_from)
    assert compared > 400
    assert not found


def test_each_faulty_row_is_named(sound: Path, made_from: Path, tmp_path: Path) -> None:
    """A piece of NaN, positions off by one, a head of zeros, one channel a tenth too large."""
    faults = _break_a_piece, _shift_positions, _zero_a_head, _scale_a_channel
    _, found = differences(_plant(sound, made_from, tmp_path, *faults), made_from)
    rows = {each.name: (each.rows, each.what) for each in found}
    assert len(rows) == len(found) == len(faults)
    by_end = {name.partition("mobilebert.")[2]: each for name, each in rows.items()}
    assert by_end["embeddings.word_embeddings"] == ((PIECE,), "not finite")
    assert by_end["encoder.layer.3.attention.self.value"] == (tuple(HEAD), "scaled")
    assert by_end["encoder.layer.5.ffn.0.output.dense"] == ((CHANNEL,), "scaled")
    shifted, _ = by_end["embeddings.position_embeddings"]
    assert min(shifted) >= FIRST_POSITION
    assert len(shifted) > 70


def test_numbers_cut_for_finer_steps_are_no_scaling(
    sound: Path, made_from: Path, tmp_path: Path
) -> None:
    """As if the quantizer had cut the three largest numbers of a row to its 4 bits."""

    def stretch(model: Any, made_from: Path) -> None:
        table = _weights(model, made_from, "layer.5.ffn.0.output.dense/MatMul")
        rows = np.array(model.buffers[table.buffer].data, np.uint8).view(np.float32)
        rows = rows.reshape(shape_of(table))
        rows[CHANNEL, np.argsort(np.abs(rows[CHANNEL]))[-3:]] *= 1.6
        model.buffers[table.buffer].data = rows.reshape(-1).view(np.uint8)

    assert not differences(sound, _plant(made_from, made_from, tmp_path, stretch))[1]


def test_a_bundle_of_other_weights_is_not_written(
    sound: Path,
    made_from: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    checkpoint: Checkpoint,
) -> None:
    """On a board nothing can compare them."""
    faulty = _plant(sound, made_from, tmp_path, _zero_a_head)
    monkeypatch.setattr(modes, "build", lambda mode, *_: made_from if mode == "float32" else faulty)
    out = tmp_path / "candidate.zip"
    assert main(["bundle", str(checkpoint.path), "--mode", "int4", "--out", str(out)]) == 2
    assert "layer.3.attention.self.value: scaled" in capsys.readouterr().err
    assert not out.exists()


def _probed(checkpoint: Checkpoint, path: Path, bare_worker: BareWorker, kind: str) -> Any:
    """Return a target that a model file answers the probes of a kind for."""
    known = checkpoint.probes()
    chosen = [n for n, probe in enumerate(known) if probe.asks == kind and len(probe.ids) <= 128]
    if kind == "piece":
        chosen = [n for n in chosen if PIECE in known[n].inner] + chosen[:3]
    asked = tuple(known[n] for n in chosen)
    recorded = np.array(checkpoint.reference_outputs().probe_logits, np.float32)[chosen]
    with bare_worker(TARGET) as worker:
        worker.load(path, checkpoint.tokenizer, checkpoint.label_names, TARGET.runtime)
        logits = worker.classify_ids([probe.ids for probe in asked]).logits
        alone = worker.classify_ids([(2, piece, 3) for piece in asked[0].inner]).logits
    texts = Dataset("texts", ("a",) * 4, (0,) * 4, checkpoint.label_names)
    return planted(
        texts,
        "int4",
        checkpoint=checkpoint,
        probed=Probed(asked, logits, recorded, (len(asked), len(known)), None),
        spread=1.94,
        tolerance=TOLERANCE,
        worker=opens(SimpleNamespace(classify_ids=lambda rows: SimpleNamespace(logits=alone))),
    )


@pytest.mark.parametrize(
    ("kind", "fault", "named"),
    [
        ("piece", _break_a_piece, f"piece {PIECE} "),
        ("position", _break_a_position, "texts of 104 tokens or more: a position up to 103"),
    ],
)
def test_a_fault_that_texts_do_not_ask_is_asked(
    kind: str,
    fault: Fault,
    named: str,
    checkpoint: Checkpoint,
    sound: Path,
    made_from: Path,
    tmp_path: Path,
    bare_worker: BareWorker,
) -> None:
    CLAIM.test_probes_match_the_checkpoint(
        _probed(checkpoint, sound, bare_worker, kind), fresh_check()
    )
    faulty = _probed(checkpoint, _plant(sound, made_from, tmp_path, fault), bare_worker, kind)
    with pytest.raises(Fails, match=named):
        CLAIM.test_probes_match_the_checkpoint(faulty, fresh_check())


def test_the_probes_ask_everything_and_are_the_same_each_time(checkpoint: Checkpoint) -> None:
    known = checkpoint.probes()
    assert checksum(known) == checksum(checkpoint.probes())
    assert checkpoint.reference_outputs().holds_probes(known)
    asked = {piece for probe in known if probe.asks == "piece" for piece in probe.inner}
    pad = checkpoint.config["pad_token_id"]
    assert asked == set(range(checkpoint.config["vocab_size"])) - {pad}
    lengths = [len(probe.ids) for probe in known if probe.asks == "position"]
    assert lengths == [3, *range(8, checkpoint.positions + 1, 8)]
    assert {probe.asks for probe in known} == set(KINDS)
    assert all(1 in probe.types for probe in known if probe.asks == "type")
    longest = max(len(probe.ids) for probe in known if probe.asks == "piece")
    assert longest <= min(checkpoint.lengths)


def test_byte_pairs_are_framed_by_their_own_tokens(tmp_path: Path) -> None:
    labels = ("negative", "neutral", "positive")
    synthetic.write_checkpoint(tmp_path / "mine", "roberta", labels)
    mine = open_checkpoint(str(tmp_path / "mine"))
    opening, closing = frame(mine.tokenizer)
    known = probes(mine.tokenizer, mine.config, mine.positions)
    assert len(opening) == len(closing) == 1
    assert opening != closing
    assert all(probe.ids[0] == opening[0] and probe.ids[-1] == closing[0] for probe in known)
    assert max(len(probe.ids) for probe in known) <= mine.positions


def test_without_recorded_probes_the_claim_is_inconclusive(checkpoint: Checkpoint) -> None:
    texts = Dataset("texts", ("a",), (0,), checkpoint.label_names)
    none: Callable[[list[Probe]], bool] = lambda known: False  # noqa: E731
    target = planted(texts, checkpoint=checkpoint, recorded=SimpleNamespace(holds_probes=none))
    with pytest.raises(Inconclusive, match=r"record them again with `python fit.py record"):
        CLAIM.test_probes_match_the_checkpoint(target, fresh_check())


@pytest.mark.parametrize(
    ("cost", "mean"),
    [(None, 0.05), ((0.004, 0.02), 0.016), ((0.2, 0.9), 0.05), ((0.0, 0.0), 1e-4)],
)
def test_a_tolerance_is_what_the_mode_costs_and_never_beyond_its_promise(
    cost: tuple[float, float] | None, mean: float
) -> None:
    target: Any = SimpleNamespace(
        mode="dynamic_range",
        format="tflite",
        promises=MODES["dynamic_range"],
        run=SimpleNamespace(cost=lambda mode, format: cost),
    )
    found = tolerance.tolerance(target)
    assert found.mean == pytest.approx(mean)
    assert found.most <= MODES["dynamic_range"].max_logit_error
