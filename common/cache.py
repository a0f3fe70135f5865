"""A content-addressed cache of what is built: SavedModels and FlatBuffers.

An artifact's key is a hash of everything that went in. It is built next to and renamed, so it is
there whole or not at all; its manifest lists the SHA-256 of every file, checked each time it is
used. A file lock lets many processes ask for the same artifact and builds it once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from models.checkpoints.reference_outputs import file_sha256

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Artifact:
    """A folder of the cache whose files match its manifest.

    Attributes:
        path: the folder.
        inputs: what it was made from: the manifest's record of everything in the key.
    """

    path: Path
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Cache:
    """The artifacts below one folder."""

    root: Path

    def artifact(
        self,
        kind: str,
        inputs: Mapping[str, Any],
        build: Callable[[Path], None],
        quiet: bool = False,
    ) -> Artifact:
        """The artifact made from ``inputs``, built by ``build(folder)`` unless it is there.

        That it was built is said, unless ``quiet``.

        One whose files no longer match the manifest is never used: it is dropped and built again.

        Raises:
            OSError: no space left or no permission; what was there before is untouched.
        """
        inputs = {"kind": kind, **inputs}
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:24]
        final = self.root / "artifacts" / f"{kind}-{key}"
        for folder in ("artifacts", "building", "locks"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / "locks" / f"{final.name}.lock"):
            if final.exists():
                fault = _fault(final)
                if fault is None:
                    return Artifact(final, inputs)
                print(f"cache: {final}: {fault}; building it again", flush=True)
                shutil.rmtree(final)
            temporary = self.root / "building" / final.name
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            started = time.monotonic()
            try:
                build(temporary)
                manifest = {
                    "inputs": inputs,
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    "files": {
                        path.relative_to(temporary).as_posix(): file_sha256(path)
                        for path in _files(temporary)
                    },
                }
                (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
                temporary.rename(final)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            if not quiet:
                print(f"built {final} in {time.monotonic() - started:.0f} s", flush=True)
        return Artifact(final, inputs)

    def prune(self, older_than_days: float) -> list[Path]:
        """Delete artifacts not built within ``older_than_days``, and what interrupted builds left.

        Returns:
            The folders deleted.
        """
        before = time.time() - older_than_days * 86400
        stale = [
            path
            for folder in ("artifacts", "building")
            for path in sorted((self.root / folder).glob("*"))
            if path.stat().st_mtime <= before
        ]
        deleted = []
        for path in stale:
            with FileLock(self.root / "locks" / f"{path.name}.lock"):
                shutil.rmtree(path, ignore_errors=True)
                deleted.append(path)
        return deleted


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST)


def _fault(folder: Path) -> str | None:
    """What is wrong with an artifact, or None."""
    try:
        recorded = json.loads((folder / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"its manifest cannot be read ({error!r})"
    present = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    if present.keys() != recorded.keys():
        return f"files {sorted(present)}, manifest {sorted(recorded)}"
    for name, path in present.items():
        if file_sha256(path) != recorded[name]:
            return f"{name} ({path.stat().st_size:,} bytes) is not the file that was built"
    return None
