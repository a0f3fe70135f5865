"""A content-addressed cache of what is built: SavedModels, model files, outputs.

An artifact is a folder. Its key is a hash of everything that went into it, the source code included
(`common.imports.closure`). It is built under a temporary name and renamed, so it is complete or not
there. Its manifest lists the SHA-256 of every file, which is checked each time it is used. A file
lock lets many processes ask for the same artifact and builds it once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from filelock import FileLock

from common import atomic, imports, json_file
from common.checksum import file_sha256
from common.json_file import JsonError

MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Artifact:
    """A folder of the cache whose files match its manifest.

    Attributes:
        path: the folder.
        inputs: what it was made from: everything in the key.
    """

    path: Path
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Cache:
    """The artifacts below one folder.

    Attributes:
        root: the folder.
        sources: the folder whose modules are part of the keys: this project's.
        building: entered with the kind of what is built, while it is built; then nothing is
            printed of it.
    """

    root: Path
    sources: Path = imports.PROJECT
    building: Callable[[str], AbstractContextManager[None]] | None = None

    def get_or_build(
        self,
        kind: str,
        inputs: Mapping[str, Any],
        build: Callable[[Path], None],
        *,
        code: Sequence[ModuleType | str],
        quiet: bool = False,
    ) -> Artifact:
        """Return the artifact made from ``inputs`` by ``code``; build it unless it is there.

        One whose files no longer match its manifest is deleted and built again.

        Args:
            kind: what it is; its folder's name begins so.
            inputs: what goes into it, as JSON. Name here what ``code`` does not show: checksums of
                data, versions of tools.
            build: writes the artifact's files into the empty folder that it is given.
            code: the modules that build it, or their dotted names. Their source, and that of all
                they import from this project, is part of the key.
            quiet: do not print that it was built.

        Raises:
            OSError: no space left or no permission; what was there before is untouched.
        """
        inputs = {"kind": kind, **inputs, "code": imports.closure(code, self.sources)}
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:24]

        def build_with_manifest(folder: Path) -> None:
            started = time.monotonic()
            if self.building and not quiet:
                with self.building(kind):
                    build(folder)
            else:
                build(folder)
            manifest = {
                "inputs": inputs,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "files": {
                    path.relative_to(folder).as_posix(): file_sha256(path)
                    for path in _files(folder)
                },
            }
            (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
            if not (quiet or self.building):
                print(f"built {final} in {time.monotonic() - started:.0f} s", flush=True)

        final = self.root / "artifacts" / f"{kind}-{key}"
        locked_folder(final, build_with_manifest, fault=_fault, scratch=self.root / "building")
        return Artifact(final, inputs)

    def prune(self, older_than_days: float) -> list[Path]:
        """Delete artifacts built more than ``older_than_days`` ago, and unfinished ones as old.

        Returns:
            The folders deleted.
        """
        before = time.time() - older_than_days * 86400
        stale = [
            path
            for folder in ("artifacts", "building")
            for path in sorted((self.root / folder).glob("*"))
            if path.is_dir() and path.stat().st_mtime <= before
        ]
        for path in stale:
            name = path.name.removesuffix(UNFINISHED)
            with FileLock(self.root / "building" / f"{name}.lock"):
                shutil.rmtree(path, ignore_errors=True)
        return stale


def locked_folder(
    folder: Path,
    build: Callable[[Path], None],
    *,
    fault: Callable[[Path], str | None] = lambda folder: None,
    scratch: Path | None = None,
) -> Path:
    """Return ``folder``, built unless it is there; several processes build it once.

    Args:
        folder: the folder to make.
        build: writes its files into the empty temporary folder that it is given, which is then
            renamed. If it raises, nothing is left.
        fault: says what is wrong with a folder that is there, in words; None if nothing is. One
            that is at fault is deleted and built again.
        scratch: the folder for the lock and the temporary folder (default: next to ``folder``). It
            must be on the same disk.

    Raises:
        OSError: no space left or no permission.
    """
    scratch = scratch or folder.parent
    for each in (folder.parent, scratch):
        each.mkdir(parents=True, exist_ok=True)
    with FileLock(scratch / f"{folder.name}.lock"):
        if folder.exists():
            wrong = fault(folder)
            if wrong is None:
                return folder
            print(f"cache: {folder}: {wrong}; building it again", flush=True)
            shutil.rmtree(folder)
        with atomic.new_folder(folder, scratch / f"{folder.name}{UNFINISHED}") as temporary:
            build(temporary)
    return folder


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST)


def _fault(folder: Path) -> str | None:
    """Return what is wrong with an artifact, or None."""
    try:
        manifest = json_file.read_object(folder / MANIFEST)
        json_file.conform(recorded := manifest.get("files"), dict[str, str], "files")
    except (OSError, JsonError) as error:
        return f"its manifest cannot be read ({error})"
    assert recorded is not None
    present = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    if present.keys() != recorded.keys():
        return f"files {sorted(present)}, manifest {sorted(recorded)}"
    for name, path in present.items():
        if file_sha256(path) != recorded[name]:
            return f"{name} ({path.stat().st_size:,} bytes) is not the file that was built"
    return None
