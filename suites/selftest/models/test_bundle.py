"""A bundle is judged where nothing that builds or trains is installed, or refused with a reason."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from common import suite
from common.cache import Cache
from data.splits import Splits
from devices.boards.board import this_machine
from devices.environments import has_runtime, python_for
from fixtures.options import REFERENCE, ZOO
from models import contents
from models.checkpoints import bundle
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.reference_outputs import digest
from models.errors import BundleError, ModelFileError, ReferenceOutputsError
from suites.selftest import small_bundle

ROOT = Path(__file__).parents[3]
CANDIDATE = ZOO / "mobilebert-brands"
# The one plugin of pytest that a board has.
ONLY_BENCHMARK = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "pytest_benchmark.plugin",
}

# What a board has not; the schema comes with ai-edge-litert, which one runtime alone brings along.
WITHOUT = """
import sys
MISSING = {"tensorflow", "torch", "transformers", "datasets", "ai_edge_quantizer", "safetensors",
           "huggingface_hub", "flatbuffers", "SetSimilaritySearch", "xdist"}

class Board:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in MISSING or name == "ai_edge_litert.schema_py_generated":
            raise ModuleNotFoundError(f"no {name} on a board", name=name)

sys.meta_path.insert(0, Board())
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, splits: Splits, cache: Cache) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "few.zip"
    return small_bundle.write(out, CANDIDATE, Path(REFERENCE), splits, cache)


def test_a_board_with_nothing_but_its_group_and_a_runtime_gives_the_verdict(
    file: Path, tmp_path: Path
) -> None:
    """Unpacked into an empty folder, from where pytest runs: no clone, and no option names it."""
    folder = tmp_path / "fit"
    shutil.unpack_archive(file, folder)
    runtime = next(name for name in ("ai-edge-litert", "tflite-runtime") if has_runtime(name))
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT,
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "host",
            f"--runtime={runtime}",
            "--preset=smoke",
            f"--report-dir={tmp_path / 'report'}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | ONLY_BENCHMARK,
    )
    said = run.stdout + run.stderr
    assert run.returncode == 1, said  # a hundred texts decide no drop: inconclusive
    (target,) = json.loads((tmp_path / "report" / "verdicts.json").read_text())["targets"]
    records = json.loads((tmp_path / "report" / "verdicts.json").read_text())["records"]
    judged = {record["claim"] for record in records if record["measurements"]}
    needed = {"footprint", "accuracy", "memory", "conformance", "privacy"}
    assert needed <= judged, said
    errors = [r["reason"] for r in records if r["reason"].startswith("error:")]
    assert all("float32" in reason for reason in errors), errors
    assert target["metrics"]["operators"]
    assert target["metrics"]["dtypes"]["weights"].keys() == {"int8"}
    assert not list((folder / ".cache").glob("runtimes/*")), "the running Python has the runtime"


def test_a_file_of_an_unpacked_bundle_that_was_edited_is_named_and_nothing_is_deleted(
    file: Path, tmp_path: Path
) -> None:
    shutil.unpack_archive(file, tmp_path)
    assert bundle.open_unpacked(tmp_path).modes == [small_bundle.MODE]
    edited = tmp_path / "suites/test_accuracy.py"
    edited.write_text(edited.read_text() + "MAX_DROP_POINTS = 99\n")
    with pytest.raises(BundleError, match=r"suites/test_accuracy\.py is not what was bundled"):
        bundle.open_unpacked(tmp_path)
    assert edited.exists()
    edited.unlink()
    with pytest.raises(BundleError, match=r"suites/test_accuracy\.py is not what was bundled"):
        bundle.open_unpacked(tmp_path)


def test_the_suite_of_a_bundle_is_small_and_has_what_it_requires() -> None:
    files = suite.files()
    assert sum(path.stat().st_size for path in files.values()) < 2_000_000
    assert {"conftest.py", "suites/test_privacy.py", "reports/page/report.html.j2"} <= files.keys()
    assert not [name for name in files if "selftest" in name or "zoo" in name]
    lines = suite.requirements().splitlines()
    assert "ai-edge-litert==2.3.0" in lines
    assert len(lines) == len(set(lines)) and not [line for line in lines if "tensorflow" in line]


def test_two_boards_alike_are_both_asked(file: Path, tmp_path: Path) -> None:
    """What one of them answered stands for the other's in nothing."""
    python = python_for("ai-edge-litert", ROOT / ".cache")
    remotes = [f"--remote=popen//python={python}//id={name}" for name in ("kitchen", "attic")]
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "host",
            "-k",
            "agreement",
            f"--bundle={file}",
            "--runtime=ai-edge-litert",
            *remotes,
            f"--cache-dir={tmp_path / 'cache_dir'}",
            f"--report-dir={tmp_path / 'report'}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert "2 passed" in run.stdout, run.stdout + run.stderr
    assert len(list((tmp_path / "cache_dir" / "artifacts").glob("outputs-*"))) == 2


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, the package that reads a FlatBuffer is not installed."""
    return lambda: monkeypatch.setattr("models.tflite.contents.can_read", lambda: False)


def test_what_comes_out_is_what_went_in(
    file: Path, tmp_path: Path, splits: Splits, unreadable: Callable[[], None]
) -> None:
    opened = bundle.open_bundle(file, tmp_path)
    chosen = splits.evaluation.stratified(100)
    assert opened.dataset.checksum() == splits.evaluation.take(chosen).checksum()
    whole = open_checkpoint(str(CANDIDATE))
    assert opened.checkpoint.label_names == whole.label_names
    assert opened.checkpoint.config == whole.config
    assert opened.checkpoint.weights_sha256 == whole.weights_sha256
    assert opened.manifest["splits"]["evaluation"].startswith("100 texts")
    path = opened.model_file(small_bundle.MODE)
    inspected = contents.inspect(path)
    unreadable()
    assert contents.inspect(path) == inspected
    with pytest.raises(BundleError, match="no float32: write it with"):
        opened.model_file("float32")
    path.with_name(path.name + ".json").unlink()
    with pytest.raises(ModelFileError, match="no record"):
        contents.inspect(path)


def test_a_record_of_another_flatbuffer_is_not_believed(
    file: Path, tmp_path: Path, unreadable: Callable[[], None]
) -> None:
    path = bundle.open_bundle(file, tmp_path).model_file(small_bundle.MODE)
    path.write_bytes(path.read_bytes() + b"\0")
    unreadable()
    with pytest.raises(ModelFileError, match="is about another file"):
        contents.inspect(path)
    with pytest.raises(BundleError, match="is not what was bundled"):
        bundle.open_bundle(file, tmp_path)
    bundle.open_bundle(file, tmp_path)  # unpacked again


def rewrite(source: Path, out: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A bundle with its files changed, packed as whole as before."""
    with zipfile.ZipFile(source) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    change(files)
    with zipfile.ZipFile(out, "w") as packed:
        for name, content in files.items():
            packed.writestr(
                name, content, zipfile.ZIP_STORED if any(content) else zipfile.ZIP_DEFLATED
            )
    return out


def sealed(files: dict[str, bytes], /, **changes: object) -> None:
    """Change the manifest, and seal it again."""
    manifest = json.loads(files[bundle.MANIFEST]) | changes
    del manifest["sha256"]
    files[bundle.MANIFEST] = json.dumps({**manifest, "sha256": digest(manifest)}).encode()


def outside(files: dict[str, bytes], name: str, content: bytes = b"") -> None:
    """Add a file, and name it in the manifest as if it belonged there."""
    manifest = json.loads(files[bundle.MANIFEST])
    files[name] = content
    named = manifest["files"] | {name: hashlib.sha256(content).hexdigest()}
    sealed(files, files=named, bytes=manifest["bytes"] | {name: len(content)})


def test_a_bundle_that_is_not_whole_is_refused_and_named(file: Path, tmp_path: Path) -> None:
    cut, text = tmp_path / "cut.zip", tmp_path / "text.zip"
    cut.write_bytes(file.read_bytes()[:-20_000])
    text.write_text("not a bundle")
    hit = bytearray(file.read_bytes())
    hit[len(hit) // 2] ^= 0xFF
    (tmp_path / "hit.zip").write_bytes(hit)
    for name, said in {
        "cut.zip": "not a whole bundle",
        "text.zip": "not a whole bundle",
        "hit.zip": "not a whole bundle",
        "none.zip": "no such file",
    }.items():
        with pytest.raises(BundleError, match=f"{name}: {said}"):
            bundle.open_bundle(tmp_path / name, tmp_path / "cache_dir")
    assert not [path for path in (tmp_path / "cache_dir").rglob("*") if path.suffix == ".tflite"]


@pytest.mark.parametrize("name", [bundle.MANIFEST, "texts.json"])
@pytest.mark.parametrize("where", ["data", "flags"])
def test_a_bundle_with_one_byte_changed_is_refused(
    file: Path, tmp_path: Path, name: str, where: str
) -> None:
    hit = bytearray(file.read_bytes())
    if where == "data":  # begins with a block of a type that there is not
        with zipfile.ZipFile(file) as packed:
            header = packed.getinfo(name).header_offset
        hit[header + 30 + len(name)] = 0xFF
    else:  # is called encrypted, in the directory at the end
        hit[hit.rindex(name.encode()) - 46 + 8] |= 1
    (tmp_path / "hit.zip").write_bytes(hit)
    with pytest.raises(BundleError, match=r"hit\.zip: not a whole bundle.*or copy it again"):
        bundle.open_bundle(tmp_path / "hit.zip", tmp_path / "cache_dir")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.update({"texts.json": f["texts.json"].replace(b"the", b"teh")}), "texts"),
        (
            lambda f: f.pop("reference/reference_outputs.json"),
            r"do not agree: reference/reference_outputs\.json",
        ),
        (lambda f: f.update({"../evil": b""}), r"do not agree: \.\./evil"),
        (lambda f: f.pop(bundle.MANIFEST), "not a bundle"),
        (lambda f: sealed(f, schema=9), "schema 9"),
        (lambda f: sealed(f, weights_sha256="0"), "about other weights"),
        (lambda f: sealed(f, modes=["int3"]), "mode 'int3' is unknown; there are float32"),
        (lambda f: sealed(f, modes=["../../evil"]), "mode '../../evil' is unknown"),
        (lambda f: sealed(f, modes=["float32"]), "no flatbuffers/float32.tflite, though it names"),
        (lambda f: sealed(f, modes="float32"), "manifest.json.modes: expected a list"),
        (lambda f: sealed(f, files=[]), "manifest.json.files: expected an object"),
        (lambda f: outside(f, "../evil"), r"'\.\./evil' is a link, or lies outside"),
        (lambda f: outside(f, "/evil"), "'/evil' is a link, or lies outside"),
        (lambda f: sealed(f, bytes={}), "bytes, and manifest.json says None"),
        (
            lambda f: f.update(
                {bundle.MANIFEST: f[bundle.MANIFEST].replace(b"dynamic_range", b"float32")}
            ),
            "was edited",
        ),
    ],
)
def test_an_edited_bundle_is_refused(
    file: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None], said: str
) -> None:
    edited = rewrite(file, tmp_path / "edited.zip", change)
    with pytest.raises(BundleError, match=said):
        bundle.open_bundle(edited, tmp_path / "cache_dir")
    assert not (tmp_path / "evil").exists()


def test_a_link_is_not_unpacked(file: Path, tmp_path: Path) -> None:
    """A ZIP can hold one, and what is unpacked through it lies anywhere."""
    linked = tmp_path / "linked.zip"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(linked, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if info.filename == "texts.json":
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            new.writestr(info, old.read(info.filename))
    with pytest.raises(BundleError, match=r"'texts\.json' is a link"):
        bundle.open_bundle(linked, tmp_path / "cache_dir")


def test_what_unpacks_to_far_more_than_it_is_is_not_begun(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is lowered so that the test writes megabytes, and not gigabytes."""
    monkeypatch.setattr(bundle, "MAX_GROWTH", 2)
    bomb = rewrite(file, tmp_path / "bomb.zip", lambda f: outside(f, "zeros", bytes(10**8)))
    with pytest.raises(BundleError, match=r"MB that unpack to 1\d\d MB are no bundle"):
        bundle.open_bundle(bomb, tmp_path / "cache_dir")
    assert not (tmp_path / "cache_dir").exists()


def test_what_the_disk_has_no_room_for_is_not_begun(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BundleError, match="has 1 MB free: make room, or name another folder"):
        bundle.open_bundle(file, tmp_path / "cache_dir")
    assert not list((tmp_path / "cache_dir").rglob("*.tflite"))


def test_a_bundle_is_written_whole_or_not_at_all(
    tmp_path: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle.zip"
    out.write_text("the old one")
    few = replace(splits, evaluation=splits.evaluation.take(range(5)))
    candidate = open_checkpoint(str(CANDIDATE))
    with pytest.raises(ReferenceOutputsError, match="they are of other texts"):
        bundle.write(out, candidate, Path(REFERENCE), few, {})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    with pytest.raises(BundleError, match=r"bundle\.zip: cannot be written: No space left"):
        bundle.write(out, candidate, Path(REFERENCE), splits, {})
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.zip"]
    assert out.read_text() == "the old one"


def test_the_running_python_is_taken_only_with_a_bundle_and_only_if_it_has_the_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "devices.boards.board.has_runtime", lambda runtime: runtime == "ai-edge-litert"
    )
    monkeypatch.setattr("devices.boards.board.python_for", lambda runtime, cache: cache / runtime)
    with_bundle = this_machine("host", tmp_path, own_python=True)
    assert with_bundle.spec("ai-edge-litert") == f"popen//python={sys.executable}"
    assert with_bundle.spec("tflite-runtime") == f"popen//python={tmp_path}/tflite-runtime"
    assert (
        this_machine("host", tmp_path)
        .spec("ai-edge-litert")
        .startswith(f"popen//python={tmp_path}")
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bundle=none.zip"], "none.zip: no such file"),
        (["--mode=float32"], "--mode float32: unknown; there are dynamic_range"),
        (["--dataset=mine.csv"], "--dataset: --bundle has its own"),
        (["--checkpoint=mine"], "--checkpoint: --bundle has its own"),
        (["--model-file=BUNDLED"], "--model-file: --bundle has its own"),
    ],
)
def test_what_a_bundle_does_not_go_with_is_refused(
    file: Path, arguments: list[str], said: str
) -> None:
    opened = bundle.open_bundle(file, file.parent / "cache_dir")
    bundled = str(opened.model_file(small_bundle.MODE))
    arguments = [argument.replace("BUNDLED", bundled) for argument in arguments]
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "host",
            f"--cache-dir={file.parent / 'cache'}",
            f"--bundle={file}",
            *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 4, run.stdout + run.stderr
    assert said in run.stdout + run.stderr
