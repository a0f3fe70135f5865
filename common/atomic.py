"""Files and folders that are complete or not there.

Each is written under a temporary name next to its place and then renamed. A crash, a full disk or
a second process never leaves half of one under its own name.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replace the file ``path`` by one that holds ``text``, in UTF-8. Missing folders are made."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file ``path`` by one that holds ``content``."""
    with new_file(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write a file to, which then replaces ``path``.

    The file is flushed to the disk before it is renamed, so a power cut leaves the old or the new
    one. If the block raises, the temporary file is deleted and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Give a temporary folder to write files to, which then becomes ``path``.

    If the block raises, the temporary folder is deleted. The files are not flushed one by one. Some
    may be short after a power cut, so a reader that cares compares checksums, as the cache does.

    Args:
        path: the folder to make; it is not there yet.
        temporary: the temporary folder's name, on the same disk (default: a new one next to
            ``path``). What is there is deleted first.

    Raises:
        OSError: ``path`` is there and not empty, or the disk is full.
    """
    temporary = temporary or temporary_name(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_name(path: Path) -> Path:
    """Return a name next to ``path`` that no other process and no other thread uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


def _flush(path: Path) -> None:
    """Wait until the disk has a file's content, or a folder's list of names."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
