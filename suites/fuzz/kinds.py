"""The kinds of input: how one is made, and what of the project reads it, as the commands do."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from common.cache import Cache
from data.dataset import Dataset
from data.readers import load
from data.readers.generic import Options
from data.splits import own_splits, split
from data.unlabeled import read_unlabeled
from devices import client
from devices.client import Worker
from devices.errors import WorkerError
from devices.measurement import energy, latency
from devices.profile import profiles
from fixtures.binding import notes
from fixtures.external_model import external_model
from models import contents
from models.architectures import positions
from models.checkpoints.bundle import open_bundle
from models.checkpoints.checkpoint import content, open_checkpoint, parameter_count
from models.checkpoints.reference_outputs import ReferenceOutputs, digest
from models.checkpoints.tokenizer import token_ids
from models.tflite import mixed_precision
from models.tflite.flatbuffer import damage, hold_buffers, unpack
from models.tflite.one_operator import file_of, graph_of, kinds
from models.tflite.task_file import read_otherwise, task_file
from reports import aggregate, expected_failures, gate, page, pareto, submission, table
from reports.compare import compare
from reports.recommend import recommend
from reports.schema import checksum
from suites.fuzz import garble, replies, samples
from suites.fuzz.mutate import VALUES, as_json, drawn, flipped, restructured
from suites.fuzz.trial import Kind

ROOT = Path(__file__).parents[2]
TEXTS = ("great love it", "", "é 中 \U0001f600", "w1 " * 40)


def _bytes(name: str, sound: Callable[[], bytes]) -> Callable[[Path, Random], None]:
    def make(folder: Path, rng: Random) -> None:
        (folder / name).write_bytes(flipped(sound(), rng))

    return make


def _json(content: Any, rng: Random) -> bytes:
    """Return a JSON file: three times in four its structure is changed, else its bytes."""
    if rng.randrange(4):
        return as_json(restructured(content, rng), rng)
    return flipped(json.dumps(content).encode(), rng)


# Model files


def _read_tflite(folder: Path) -> None:
    _read_model_file(folder / "model.tflite")
    content = (folder / "model.tflite").read_bytes()
    model = unpack(content, folder / "model.tflite")
    hold_buffers(model, content)
    with damage(folder / "model.tflite"):
        graph, _, _ = graph_of(model, None)
        for kind in kinds(model, graph):
            file_of(model, graph, kind.operator, 2)


def _read_model_file(file: Path) -> None:
    contents.record(file)
    found = external_model(file, None, None, ["float32"], None)
    assert found is not None
    notes(contents.inspect(file), found.binding, [])
    external_model(file, None, None, None, None)


def _make_record(folder: Path, rng: Random) -> None:
    (folder / "model.tflite").write_bytes(samples.tflite())
    made = json.loads(contents.record(folder / "model.tflite").read_text())
    (folder / "model.tflite.json").write_bytes(_json(made, rng))


# Checkpoints


def _make_checkpoint(part: str) -> Callable[[Path, Random], None]:
    def make(folder: Path, rng: Random) -> None:
        if part == "weights":
            changed = _safetensors(samples.safetensors(), rng)
        else:
            sound = samples.config() if part == "config" else json.loads(samples.tokenizer())
            changed = _json(sound, rng)
        samples.write_checkpoint(folder, **{part: changed})

    return make


def _safetensors(content: bytes, rng: Random) -> bytes:
    """Return weights with another header, or bytes changed."""
    size = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + size], content[8 + size :]
    changed = _json(json.loads(header), rng)
    stated = len(changed) if rng.randrange(4) else rng.getrandbits(rng.choice((8, 16, 32, 64)))
    made = stated.to_bytes(8, "little") + changed + data
    return made if rng.randrange(4) else flipped(content, rng)


def _read_checkpoint(folder: Path) -> None:
    found = open_checkpoint(str(folder))
    parameter_count(found.config)
    content(found.source)
    token_ids(found.tokenizer, TEXTS)
    found.weights()


def _read_tokenizer(folder: Path) -> None:
    found = open_checkpoint(str(folder))
    token_ids(found.tokenizer, TEXTS)
    task_file(samples.tflite(), found)
    read_otherwise(found, TEXTS)


def _make_index(folder: Path, rng: Random) -> None:
    samples.write_checkpoint(folder)
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    sound = {"metadata": {"total_size": 1}, "weight_map": {"a": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_bytes(_json(sound, rng))


def _make_outputs(folder: Path, rng: Random) -> None:
    samples.write_checkpoint(folder)
    (folder / "reference_outputs.json").write_bytes(_sealed_outputs(rng))


def _sealed_outputs(rng: Random) -> bytes:
    """Return reference outputs that were changed; mostly with a checksum of the change."""
    body = json.loads(samples.reference_outputs())
    if not rng.randrange(4):
        return flipped(samples.reference_outputs(), rng)
    changed = restructured(body, rng)
    if isinstance(changed, dict) and rng.randrange(8):
        rest = {k: v for k, v in changed.items() if k not in ("schema", "sha256")}
        changed = {"schema": changed.get("schema", 3), "sha256": digest(rest), **rest}
    return as_json(changed, rng)


def _read_outputs(folder: Path) -> None:
    found = ReferenceOutputs.load(folder / "reference_outputs.json")
    found.reordered(samples.texts().label_names).require(samples.texts())
    found.figures(samples.texts())
    open_checkpoint(str(folder)).reference_outputs()


def _make_recipe(folder: Path, rng: Random) -> None:
    samples.write_checkpoint(folder)
    weights = open_checkpoint(str(folder)).weights_sha256
    cost = mixed_precision.QuantizationCost(9, 99.0, 0.1, 0.1, 9)
    recipe = mixed_precision.Recipe(
        weights, "b" * 64, mixed_precision.Budget(), {"classifier": 8}, cost, {"4": {"a": cost}}
    )
    (folder / mixed_precision.RECIPE).write_bytes(_json(samples.as_dict(recipe), rng))


def _read_recipe(folder: Path) -> None:
    mixed_precision.load(open_checkpoint(str(folder)))


# Tables


def _make_table(folder: Path, rng: Random) -> None:
    suffix = rng.choice((".csv", ".tsv", ".json", ".jsonl", ".txt", ".parquet", ".csv.gz"))
    rows = samples.rows()
    if suffix == ".parquet":
        made = flipped(samples.parquet(), rng)
    elif suffix == ".json":
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        made = _json(rng.choice((rows, {"data": rows}, columns)), rng)
    elif suffix == ".jsonl":
        changed = [
            _json(row, rng) if not rng.randrange(20) else json.dumps(row).encode() for row in rows
        ]
        made = b"\n".join(changed)
    else:
        separator = "\t" if suffix == ".tsv" else rng.choice((",", ";", "|"))
        lines = [
            separator.join(row.values())
            for row in (dict(zip(rows[0], rows[0], strict=True)), *rows)
        ]
        made = flipped("\n".join(lines).encode(rng.choice(("utf-8", "utf-16", "cp1252"))), rng)
        made = flipped(gzip.compress(made), rng) if suffix == ".csv.gz" else made
    (folder / f"table{suffix}").write_bytes(made)
    options = ("", "", "", ":header=none", ":limit=5", ":labels=a/b/c", ":text=1,label=2")
    (folder / "options").write_text(rng.choice(options))


def _read_table(folder: Path) -> None:
    (file,) = folder.glob("table*")
    if file.suffix == ".txt":
        read_unlabeled([file], samples.splits())
        return
    found = load(f"{file}{(folder / 'options').read_text()}")
    made = split(found) if isinstance(found, Dataset) else own_splits(found)
    made.describe()
    Options(str(file)).typed()


def _make_replab(folder: Path, rng: Random) -> None:
    files = {}
    files["entities/replab2013_entities.tsv"] = [["entity_id"], ["e1"], ["e2"]]
    for entity in ("e1", "e2"):
        info = [["tweet_id", "entity_id", "language", "timestamp", "is_near_duplicate_of"]]
        labels = [["tweet_id", "entity_id", "filtering", "polarity"]]
        text = [["tweet_id", "tweet_text"]]
        for n, row in enumerate(samples.rows()):
            info.append([str(n), entity, "EN", str(1_350_000_000 + 60 * n), "-1"])
            labels.append([str(n), entity, "RELATED", ("NEGATIVE", "NEUTRAL", "POSITIVE")[n % 3]])
            text.append([str(n), row["text"]])
        files[f"training/tweet_info/{entity}.dat"] = info
        files[f"training/labeled/{entity}.dat"] = labels
        files[f"training/tweet_text/{entity}.tsv"] = text
    damaged = rng.choice([*files])
    for name, lines in files.items():
        content = "".join("\t".join(f'"{cell}"' for cell in line) + "\n" for line in lines).encode()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(flipped(content, rng) if name == damaged else content)


def _read_replab(folder: Path) -> None:
    found = load(f"replab2013:root={folder}")
    assert isinstance(found, Dataset)
    split(found).describe()


# Bundles


def _make_bundle(folder: Path, rng: Random) -> None:
    made = _packed_again(rng) if rng.randrange(3) else flipped(samples.packed(), rng)
    (folder / "bundle.zip").write_bytes(made)


def _packed_again(rng: Random) -> bytes:
    """Return a bundle whose manifest or one file was changed, every checksum made again."""
    with zipfile.ZipFile(io.BytesIO(samples.packed())) as sound:
        files = {name: sound.read(name) for name in sound.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    if rng.randrange(2):
        name = rng.choice([*files])
        changed = (
            _json(json.loads(files[name]), rng)
            if name.endswith(".json")
            else flipped(files[name], rng)
        )
        if name.endswith("reference_outputs.json"):
            changed = _sealed_outputs(rng)
        files[name] = changed
        import hashlib

        manifest["files"][name] = hashlib.sha256(changed).hexdigest()
        manifest["bytes"][name] = len(changed)
    else:
        manifest = restructured({k: v for k, v in manifest.items() if k != "sha256"}, rng)
    if isinstance(manifest, dict):
        manifest.pop("sha256", None)
        manifest["sha256"] = digest(manifest)
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        warnings.simplefilter("ignore")  # a name twice
        packed.writestr("manifest.json", json.dumps(manifest))
        for name, each in files.items():
            odd = ("../outside", "/tmp/outside", "a\0b", "flatbuffers", "manifest.json", name)
            packed.writestr(rng.choice(odd) if not rng.randrange(60) else name, each)
    return out.getvalue()


def _read_bundle(folder: Path) -> None:
    found = open_bundle(folder / "bundle.zip", folder / "cache")
    for mode in found.modes:
        contents.inspect(found.model_file(mode))
    checkpoint = found.checkpoint
    positions(checkpoint.config)
    token_ids(checkpoint.tokenizer, found.dataset.texts)
    reference = ReferenceOutputs.load(found.reference / "reference_outputs.json")
    reference.reordered(checkpoint.label_names).figures(found.dataset)
    assert isinstance(found.manifest["splits"], dict)


# Workers


class _Replies:
    """A worker that answers what a file says; one for all inputs of this process."""

    worker: Worker | None = None

    @classmethod
    def open(cls, file: Path) -> Worker:
        file.write_bytes(pickle.dumps({"ok": replies.SOUND["memory"]}))
        try:
            assert cls.worker is not None
            cls.worker.memory()
        except (AssertionError, WorkerError):  # none yet, or the last one died
            client.worker = replies
            spec = f"popen//python={sys.executable}//env:{replies.VARIABLE}={file}"
            cls.worker = Worker(spec, deadline_s=60, isolate=False)
        return cls.worker


def _make_reply(folder: Path, rng: Random) -> None:
    operation = rng.choice([*replies.SOUND])
    reply = {"ok": replies.SOUND[operation]}
    if not rng.randrange(10):
        reply = {"error": rng.choice(("load", "invoke", "memory", "odd")), "message": "it failed"}
    changed = restructured(reply, rng) if rng.randrange(10) else drawn(VALUES, rng)
    (folder / "operation").write_text(operation)
    (folder / "changed").write_bytes(pickle.dumps(changed))


def _read_reply(folder: Path) -> None:
    worker, operation = _Replies.open(folder / "reply"), (folder / "operation").read_text()
    if operation not in ("load", "overhead"):
        (folder / "reply").write_bytes(pickle.dumps({"ok": replies.SOUND["load"]}))
        worker.load("a.tflite", "tokenizer.json", replies.LABELS, "ai-edge-litert")
    (folder / "reply").write_bytes((folder / "changed").read_bytes())
    if operation == "load":
        worker.load("a.tflite", "tokenizer.json", replies.LABELS, "ai-edge-litert")
    elif operation == "classify":
        found = worker.classify(["one", "two"])
        found.logits.argmax(axis=1)
    elif operation == "measure":
        least = latency.queries_needed(0.9)
        timed = worker.measure(["one"], min_queries=least, min_seconds=0)
        latency.percentile_90(timed.seconds)
    else:
        getattr(worker, operation)(*["/proc/x"] * (operation == "read"))


def _make_pipe(folder: Path, rng: Random) -> None:
    (folder / "seed").write_text(str(rng.getrandbits(32)))


def _read_pipe(folder: Path) -> None:
    python = f"{sys.executable} {garble.__file__} {(folder / 'seed').read_text()}"
    with Worker(f"popen//python={python}", deadline_s=10, isolate=False) as worker:
        worker.memory()
        worker.environment()
        worker.read("/proc/version")
        worker.guard()


def _make_loaded(folder: Path, rng: Random) -> None:
    (folder / "model.tflite").write_bytes(flipped(samples.tflite(), rng))
    sound = json.loads(samples.tokenizer())
    changed = _json(sound, rng) if not rng.randrange(4) else samples.tokenizer()
    (folder / "tokenizer.json").write_bytes(changed)


def _read_loaded(folder: Path) -> None:
    spec = f"popen//python={sys.executable}"
    with Worker(spec, deadline_s=60, isolate=False) as worker:
        labels = ("negative", "neutral", "positive")
        worker.load(folder / "model.tflite", folder / "tokenizer.json", labels, "ai-edge-litert")
        worker.classify(TEXTS)
        worker.measure(["great"], min_queries=2, min_seconds=0)
        worker.memory()


# Reports


def _make_sealed(name: str, sound: Callable[[], dict[str, Any]]) -> Callable[[Path, Random], None]:
    def make(folder: Path, rng: Random) -> None:
        changed = restructured(sound(), rng) if rng.randrange(5) else None
        if changed is None:
            (folder / name).write_bytes(flipped(json.dumps(sound()).encode(), rng))
            return
        if isinstance(changed, dict):
            changed["sha256"] = checksum(json.loads(json.dumps(changed)))
        (folder / name).write_bytes(as_json(changed, rng))

    return make


def _verdicts() -> dict[str, Any]:
    return samples.verdicts()


def _read_verdicts(folder: Path) -> None:
    submission.report(submission.check(folder / "verdicts.json"))
    found = aggregate.read(folder / "verdicts.json")
    sound: Any = samples.verdicts()
    for said in (table.terminal(found, legend=True), table.markdown(found), table.paper(found)):
        said.encode()
    for advice in recommend(found["targets"]):
        advice.lines()
    page.render([found]).encode()
    _either(lambda: compare(sound, found))
    _either(lambda: gate.gate(found, samples.baseline()))  # type: ignore[arg-type]
    _either(lambda: gate.write_baseline([found], folder / "baseline.json"))
    _either(lambda: pareto.to_csv(pareto.updated([], pareto.lines_of(found, None))))


def _either(command: Callable[[], object]) -> None:
    """Run a command that may refuse, before others are run."""
    from reports.schema import ReportError

    try:
        command()
    except ReportError as error:
        assert "\n" not in str(error)


def _read_baseline(folder: Path) -> None:
    baseline = gate.read_baseline(folder / "baseline.json")
    for finding in gate.gate(samples.verdicts(), baseline):  # type: ignore[arg-type]
        str(finding)


def _make_frontier(folder: Path, rng: Random) -> None:
    (folder / "frontier.csv").write_bytes(
        flipped((ROOT / "docs" / "frontier.csv").read_bytes(), rng)
    )


def _read_frontier(folder: Path) -> None:
    lines = pareto.updated(pareto.read(folder / "frontier.csv"), [])
    pareto.to_csv(lines)
    list(pareto.summary(lines))


# Devices


def _make_toml(name: str, sound: Path) -> Callable[[Path, Random], None]:
    def make(folder: Path, rng: Random) -> None:
        content = sound.read_bytes()
        if rng.randrange(2):
            (folder / name).write_bytes(flipped(content, rng))
            return
        lines = content.decode().splitlines()
        for _ in range(rng.choice((1, 1, 2, 3))):
            at = rng.randrange(len(lines))
            key, equals, _ = lines[at].partition("=")
            odd = rng.choice(
                (
                    "-1",
                    "0",
                    "nan",
                    "inf",
                    "1e999",
                    "[]",
                    "[1]",
                    "'x'",
                    "true",
                    "{}",
                    "[nan, 1]",
                    '"1.2.3"',
                    "1979-05-27",
                    "9" * 5000,
                )
            )
            how = rng.randrange(4)
            if how == 0:
                del lines[at]
            elif how == 1:
                lines.insert(at, lines[rng.randrange(len(lines))])
            elif equals:
                lines[at] = f"{key}= {odd}"
        (folder / name).write_text("\n".join(lines) + "\n")

    return make


def _read_profiles(folder: Path) -> None:
    from devices.boards.detection import Read  # noqa: F401
    from devices.measurement.projection import by_instructions

    for found in profiles(folder).values():
        if found.projection:
            by_instructions(found, 1e9)


def _read_expected_failures(folder: Path) -> None:
    _, entries = expected_failures.read(folder / "expected_failures.toml")
    for entry in entries:
        for record in samples.verdicts()["records"]:
            entry.names(record["nodeid"])
            entry.regression_beyond_limit(record)


def _make_power_log(folder: Path, rng: Random) -> None:
    lines = ["timestamp,watts"]
    lines += [f"{100 + n},{4.5 + n % 3}" for n in range(30)]
    if rng.randrange(3):
        for _ in range(rng.choice((1, 1, 2, 5))):
            cells = [
                "nan",
                "inf",
                "-inf",
                "1e400",
                "",
                "2026-11-27T10:00:00+99:00",
                "9999-12-31T23:59:59",
                "0001-01-01",
                "1_0",
                "\0",
                "x" * 200_000,
                '"',
                "1e18",
            ]
            lines[rng.randrange(len(lines))] = rng.choice(
                (
                    f"{rng.choice(cells)},{rng.choice(cells)}",
                    f"{100 + rng.randrange(30)},{rng.choice(cells)}",
                    f"{rng.choice(cells)},5",
                    rng.choice(cells),
                    "1,2,3",
                )
            )
        made = ("\n".join(lines) + "\n").encode()
    else:
        made = flipped(("\n".join(lines) + "\n").encode(), rng)
    (folder / "power.csv").write_bytes(made)


def _read_power_log(folder: Path) -> None:
    assert energy.logged_joules(folder / "power.csv", 103.5, 120.0) < float("inf")


# The cache


def _make_manifest(folder: Path, rng: Random) -> None:
    _build(folder)
    (manifest,) = folder.glob("artifacts/*/manifest.json")
    manifest.write_bytes(_json(json.loads(manifest.read_text()), rng))


def _build(folder: Path) -> None:
    def build(into: Path) -> None:
        (into / "file").write_text("built")

    found = Cache(folder).get_or_build("thing", {"a": 1}, build, code=[], quiet=True)
    assert (found.path / "file").read_text() == "built"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("model file tflite", _bytes("model.tflite", samples.tflite), _read_tflite, 3),
        Kind(
            "model file onnx",
            _bytes("model.onnx", samples.onnx),
            lambda f: _read_model_file(f / "model.onnx"),
            2,
        ),
        Kind("config.json", _make_checkpoint("config"), _read_checkpoint, 2),
        Kind("tokenizer.json", _make_checkpoint("tokenizer"), _read_tokenizer, 2),
        Kind("safetensors", _make_checkpoint("weights"), _read_checkpoint, 2),
        Kind("safetensors index", _make_index, _read_checkpoint, 0.5),
        Kind("reference outputs", _make_outputs, _read_outputs),
        Kind("mixed recipe", _make_recipe, _read_recipe, 0.5),
        Kind("table", _make_table, _read_table, 2),
        Kind("replab2013", _make_replab, _read_replab, 0.5),
        Kind("bundle", _make_bundle, _read_bundle, 2),
        Kind("verdict file", _make_sealed("verdicts.json", _verdicts), _read_verdicts, 2),
        Kind("baseline", _make_sealed("baseline.json", samples.baseline), _read_baseline, 2),
        Kind("frontier", _make_frontier, _read_frontier, 0.5),
        Kind("profile", _make_toml("pi4.toml", ROOT / "devices/profiles/pi4.toml"), _read_profiles),
        Kind(
            "expected failures",
            _make_toml("expected_failures.toml", ROOT / "suites/expected_failures.toml"),
            _read_expected_failures,
            0.5,
        ),
        Kind("power log", _make_power_log, _read_power_log),
        Kind("execnet reply", _make_reply, _read_reply, 1, lines=True),
        Kind("execnet pipe", _make_pipe, _read_pipe, 0.05, lines=True),
        Kind("model file in a worker", _make_loaded, _read_loaded, 0.05, lines=True),
        Kind("cache manifest", _make_manifest, _build, 0.5),
    )
}
