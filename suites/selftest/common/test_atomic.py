"""Atomic writes: the old file or the new one, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import atomic


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    atomic.write_text(path, "old\n")
    atomic.write_text(path, "née\n")
    assert path.read_bytes() == "née\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), atomic.new_file(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise OSError("full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_complete(tmp_path: Path) -> None:
    path = tmp_path / "tools"
    with atomic.new_folder(path) as temporary:
        (temporary / "one").write_text("1")
        assert not path.exists()
    assert (path / "one").read_text() == "1"
    with pytest.raises(OSError, match="full"), atomic.new_folder(tmp_path / "other") as temporary:
        (temporary / "one").write_text("1")
        raise OSError("full")
    assert list(tmp_path.iterdir()) == [path]


def test_a_temporary_name_is_used_once(tmp_path: Path) -> None:
    names = {atomic.temporary_name(tmp_path / "x") for _ in range(100)}
    assert len(names) == 100
    assert {name.parent for name in names} == {tmp_path}
