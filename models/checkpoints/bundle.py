"""Bundles: all that a board needs to judge a candidate, in one file.

A ZIP: the FlatBuffers and what is in them, tokenizer, configuration and reference outputs, the
evaluation texts with their labels, the suite itself, and a manifest that names the SHA-256 of each
and carries its own. Where it is opened, neither the weights nor the tools that made the FlatBuffers
are needed. Where it is unpacked, `pytest` finds it."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Required, TypedDict

from common import atomic, json_file, suite
from common.argtypes import SHORTEST
from common.cache import locked_folder
from common.checksum import file_sha256
from common.json_file import JsonError
from data.dataset import Dataset, DatasetError
from data.splits import Splits
from models import contents
from models.architectures import positions
from models.checkpoints import lengths as signature_lengths
from models.checkpoints.checkpoint import Checkpoint, read_config
from models.checkpoints.hub import Source
from models.checkpoints.reference_outputs import (
    ReferenceOutputs,
    digest,
    software_versions,
)
from models.errors import BundleError, CheckpointError, ReferenceOutputsError
from models.modes import MODES

SCHEMA = 3
MANIFEST = "manifest.json"
MAX_MANIFEST = 1_000_000  # bytes
# Weights hardly shrink in a ZIP, and texts to a third: what unpacks to more is made to fill a disk.
MAX_GROWTH = 20
# What zipfile raises of a file that is cut or has bits changed; RuntimeError of flags and methods.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
_AGAIN = "; write it again with `python fit.py bundle`, or copy it again"


class Manifest(TypedDict, total=False):
    """The keys of a manifest that are read; there may be others."""

    schema: Required[int]
    checkpoint: Required[str]
    weights_sha256: Required[str]
    lengths: list[int]
    dataset: Required[str]
    splits: Required[dict[str, str]]
    tools: Required[dict[str, str]]
    modes: Required[list[str]]
    files: Required[dict[str, str]]
    is_default_reference: bool
    bytes: Required[dict[str, int]]


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: `folder` holds its files, each as the manifest says."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def modes(self) -> list[str]:
        """The modes that it has FlatBuffers of."""
        return list(self.manifest["modes"])

    def model_file(self, mode: str) -> Path:
        """The FlatBuffer of a mode, what is in it recorded next to
        (`models.contents.record`).

        Raises:
            BundleError: it was written without this mode.
        """
        if mode not in self.modes:
            raise BundleError(
                f"the bundle has {', '.join(self.modes)} and no {mode}: write it with "
                f"`python fit.py bundle --mode {mode}` as well"
            )
        return self.folder / "flatbuffers" / f"{mode}.tflite"

    @property
    def checkpoint(self) -> Checkpoint:
        """The candidate, without its weights."""
        path = self.folder / "checkpoint"
        config, names = read_config(path)
        source = Source(path, self.manifest["checkpoint"], from_hub=True)
        stated = self.manifest.get("lengths", signature_lengths.DEFAULT)
        lengths = signature_lengths.within(stated, positions(config))
        return Checkpoint(source, config, names, self.manifest["weights_sha256"], lengths)

    @property
    def reference(self) -> Path:
        """The folder of the accuracy reference's reference outputs."""
        return self.folder / "reference"

    @property
    def dataset(self) -> Dataset:
        """The evaluation texts.

        Raises:
            JsonError: they are no dataset.
            DatasetError: their columns do not fit together.
        """
        body = json_file.read_object(self.folder / "texts.json")
        json_file.conform(body, Dataset, "texts.json")
        columns: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in body.items()
        }
        return Dataset(**columns)


def write(
    out: Path,
    checkpoint: Checkpoint,
    reference: Path,
    splits: Splits,
    model_files: Mapping[str, Path],
    *,
    is_default_reference: bool = False,
) -> None:
    """Write the bundle of a candidate and its FlatBuffers, by mode, next to `out`, then rename.

    `is_default_reference`: whether the accuracy reference is the one that this project ships.

    Raises:
        ReferenceOutputsError: reference outputs are about other texts, or another checkpoint.
        BundleError: `out` cannot be written; what was there is untouched.
    """
    dataset = splits.evaluation
    checkpoint.reference_outputs().require(dataset, checkpoint.path)
    ReferenceOutputs.load(reference / "reference_outputs.json").require(dataset)
    columns = ("name", "texts", "labels", "label_names", "entities", "shareable")
    body = {name: value for name, value in asdict(dataset).items() if name in columns}
    scratch = atomic.temporary_name(out)
    try:
        scratch.mkdir(parents=True)
        (scratch / "texts.json").write_text(json.dumps(body) + "\n")
        (scratch / suite.REQUIREMENTS).write_text(suite.requirements())
        files = {
            **suite.files(),
            suite.REQUIREMENTS: scratch / suite.REQUIREMENTS,
            "texts.json": scratch / "texts.json",
            "reference/reference_outputs.json": reference / "reference_outputs.json",
        }
        for name in ("config.json", "tokenizer.json", "reference_outputs.json"):
            files[f"checkpoint/{name}"] = checkpoint.path / name
        for mode, path in model_files.items():
            copy = scratch / f"{mode}.tflite"
            copy.symlink_to(path.absolute())
            files[f"flatbuffers/{copy.name}"] = copy
            files[f"flatbuffers/{copy.name}.json"] = contents.record(copy)
        manifest: dict[str, Any] = {
            "schema": SCHEMA,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "checkpoint": checkpoint.name,
            "weights_sha256": checkpoint.weights_sha256,
            "lengths": checkpoint.lengths,
            "dataset": splits.train.name,
            "splits": splits.describe(),
            "tools": software_versions("ai-edge-quantizer"),
            "modes": list(model_files),
            "is_default_reference": is_default_reference,
            "files": {name: file_sha256(path) for name, path in files.items()},
            "bytes": {name: path.stat().st_size for name, path in files.items()},
        }
        manifest["sha256"] = digest(manifest)
        with (
            atomic.new_file(out) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle,
        ):
            bundle.writestr(MANIFEST, json.dumps(manifest, indent=1) + "\n")
            for name, path in files.items():
                bundle.write(path, name)
    except OSError as error:
        raise BundleError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def open_bundle(file: Path, root: Path) -> Bundle:
    """The bundle in `file`, unpacked below `root` once, and verified each time.

    Raises:
        BundleError: no bundle, truncated, edited, of another schema, or at odds with itself.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            manifest = _manifest(file, packed)
            _require_sound(file, packed, manifest)
            _require_room(file, packed, root)
            folder = root / "bundles" / manifest["sha256"][:24]
            locked_folder(folder, lambda new: packed.extractall(new, manifest["files"]))
            try:
                _verify(file, folder, manifest)
            except BundleError:
                shutil.rmtree(folder)  # it is unpacked again the next time
                raise
    except FileNotFoundError:
        raise BundleError(f"{file}: no such file") from None
    except _DAMAGE as error:
        raise BundleError(f"{file}: not a whole bundle: {error!s:.200}{_AGAIN}") from None
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror or error}") from error
    return Bundle(folder, manifest)


def open_unpacked(folder: Path) -> Bundle:
    """Return the bundle that was unpacked into `folder`, verified.

    Raises:
        BundleError: a file is missing or was edited, or it is of another schema.
    """
    file = folder / MANIFEST
    try:
        if (size := file.stat().st_size) > MAX_MANIFEST:
            raise BundleError(f"{file}: {size / 1e6:.0f} MB are no manifest")
        manifest = _sealed(file, file.read_bytes())
        _require_modes(file, manifest)
        _verify(file, folder, manifest)
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror or error}") from error
    return Bundle(folder, manifest)


def _manifest(file: Path, packed: zipfile.ZipFile) -> dict[str, Any]:
    try:
        if (size := packed.getinfo(MANIFEST).file_size) > MAX_MANIFEST:
            raise BundleError(f"{file}: not a bundle: {MANIFEST} of {size / 1e6:.0f} MB")
    except KeyError as error:
        raise BundleError(f"{file}: not a bundle: {error}") from None
    manifest = _sealed(file, packed.read(MANIFEST))
    named, present = {MANIFEST, *manifest["files"]}, packed.namelist()
    if sorted(named) != sorted(present):
        odd = ", ".join(sorted(named ^ set(present))) or "a file twice"
        raise BundleError(f"{file}: manifest and files do not agree: {odd:.200}{_AGAIN}")
    return manifest


def _sealed(file: Path, content: bytes) -> dict[str, Any]:
    """Return a manifest that is whole, with its own checksum.

    Raises:
        BundleError: it is not.
    """
    try:
        manifest = json_file.parse_object(content)
        stated, schema = manifest.pop("sha256"), manifest["schema"]
    except (KeyError, JsonError) as error:
        raise BundleError(f"{file}: not a bundle: {error} in {MANIFEST}") from None
    if schema != SCHEMA:
        raise BundleError(f"{file}: schema {schema!r:.60}, this code reads {SCHEMA}{_AGAIN}")
    if stated != digest(manifest):
        raise BundleError(f"{file}: {MANIFEST} was edited{_AGAIN}")
    try:
        json_file.conform(manifest, Manifest, MANIFEST)
    except JsonError as error:
        raise BundleError(f"{file}: {error}{_AGAIN}") from None
    return {**manifest, "sha256": stated}


def _require_modes(file: Path, manifest: Mapping[str, Any]) -> None:
    for mode in manifest["modes"]:
        if mode not in MODES:
            raise BundleError(f"{file}: mode {mode!r} is unknown; there are {', '.join(MODES)}")
        if f"flatbuffers/{mode}.tflite" not in manifest["files"]:
            raise BundleError(
                f"{file}: no flatbuffers/{mode}.tflite, though it names {mode}{_AGAIN}"
            )


def _require_sound(file: Path, packed: zipfile.ZipFile, manifest: Mapping[str, Any]) -> None:
    """Refuse a mode that is none, a name outside of the bundle, and a link.

    Raises:
        BundleError: it names the mode or the file.
    """
    _require_modes(file, manifest)
    if min(manifest.get("lengths", signature_lengths.DEFAULT), default=0) < SHORTEST:
        raise BundleError(f"{file}: {MANIFEST} has no lengths, or one below {SHORTEST}{_AGAIN}")
    for info in packed.infolist():
        path = PurePosixPath(info.filename)
        outside = path.is_absolute() or ".." in path.parts or "\\" in info.filename
        if outside or stat.S_ISLNK(info.external_attr >> 16):
            raise BundleError(f"{file}: {info.filename!r} is a link, or lies outside of the bundle")
        stated = manifest["bytes"].get(info.filename)
        if info.filename != MANIFEST and stated != info.file_size:
            raise BundleError(
                f"{file}: {info.filename} has {info.file_size} bytes, and {MANIFEST} says "
                f"{stated}{_AGAIN}"
            )


def _require_room(file: Path, packed: zipfile.ZipFile, root: Path) -> None:
    """Refuse what unpacks to far more than it is, or to more than the disk has, before it is read.

    A file in a ZIP never unpacks to more than the directory of the ZIP states: zipfile stops there.

    Raises:
        BundleError: it states both sizes.
    """
    total = sum(info.file_size for info in packed.infolist())
    own = file.stat().st_size
    if total > MAX_GROWTH * own + MAX_MANIFEST:
        raise BundleError(
            f"{file}: {own / 1e6:.1f} MB that unpack to {total / 1e6:.0f} MB are no bundle: get "
            "it again from whoever made it"
        )
    root.mkdir(parents=True, exist_ok=True)
    if total > (free := shutil.disk_usage(root).free):
        raise BundleError(
            f"{file}: it unpacks to {total / 1e6:.0f} MB, and {root} has {free / 1e6:.0f} MB free: "
            "make room, or name another folder with --cache-dir"
        )


def _verify(file: Path, folder: Path, manifest: Mapping[str, Any]) -> None:
    for name, stated in manifest["files"].items():
        if not (folder / name).is_file() or file_sha256(folder / name) != stated:
            raise BundleError(f"{file}: {name} is not what was bundled{_AGAIN}")
    bundle = Bundle(folder, manifest)
    try:
        reference_outputs, dataset = bundle.checkpoint.reference_outputs(), bundle.dataset
        reference_outputs.require(dataset)
        ReferenceOutputs.load(bundle.reference / "reference_outputs.json").require(dataset)
    except (ReferenceOutputsError, CheckpointError, DatasetError, JsonError) as error:
        raise BundleError(f"{file}: {error}") from None
    if reference_outputs.weights_sha256 != manifest["weights_sha256"]:
        raise BundleError(
            f"{file}: its reference outputs are about other weights than its FlatBuffers{_AGAIN}"
        )
