"""The cache: an artifact that is damaged, interrupted or made by other code is never used."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from filelock import FileLock, Timeout

from common.cache import Artifact, Cache, locked_folder

CONTENT = b"\0\1\2\3" * 1000


def _write(folder: Path) -> None:
    (folder / "model.tflite").write_bytes(CONTENT)


def _never(folder: Path) -> None:
    raise AssertionError("built a second time")


def _get(
    cache: Cache, build: Callable[[Path], None] = _write, code: tuple[str, ...] = (), **inputs: int
) -> Artifact:
    return cache.get_or_build("thing", inputs, build, code=code)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda f: f.write_bytes(f.read_bytes()[:-1]), id="cut by one byte"),
        pytest.param(lambda f: f.write_bytes(b""), id="empty"),
        pytest.param(lambda f: f.write_bytes(b"\1" + f.read_bytes()[1:]), id="one bit flipped"),
        pytest.param(lambda f: f.unlink(), id="gone"),
        pytest.param(lambda f: (f.parent / "extra").write_text("x"), id="a file too many"),
        pytest.param(lambda f: (f.parent / "manifest.json").write_text("{"), id="manifest cut"),
    ],
)
def test_a_damaged_artifact_is_built_again(
    tmp_path: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    cache = Cache(tmp_path)
    damage(_get(cache).path / "model.tflite")
    assert (_get(cache).path / "model.tflite").read_bytes() == CONTENT
    assert "building it again" in capsys.readouterr().out


def test_an_artifact_is_built_once_for_the_same_inputs(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first = _get(cache, a=1)
    assert _get(cache, _never, a=1) == first
    with pytest.raises(AssertionError):
        _get(cache, _never, a=2)


def test_an_interrupted_build_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def interrupted(folder: Path) -> None:
        (folder / "model.tflite").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _get(cache, interrupted)
    assert not list((tmp_path / "artifacts").iterdir())
    assert _get(cache).path.exists()


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    kept = _get(cache, a=1)

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        _get(cache, full, a=2)
    assert (kept.path / "model.tflite").exists()
    assert not [path for path in (tmp_path / "building").iterdir() if path.is_dir()]


MOST_SECONDS = 300.0  # reached only where a build is not waited for


def _build_while_another_waits(root: Path, log: Path, waiting: Semaphore) -> None:
    """Build two folders, each of them not before another process has found its lock taken."""

    class Lock(FileLock):
        def acquire(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().acquire(blocking=False)
            except Timeout:
                waiting.release()
                return super().acquire(*args, **kwargs)

    def build(folder: Path) -> None:
        with log.open("a") as file:
            file.write("built\n")
        assert waiting.acquire(timeout=MOST_SECONDS)
        _write(folder)

    with mock.patch("common.cache.FileLock", Lock):
        _get(Cache(root), build)
        locked_folder(root / "folder", build)


def test_two_processes_build_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    asked = (tmp_path / "cache_dir", log, context.Semaphore(0))
    workers = [
        context.Process(target=_build_while_another_waits, args=asked, daemon=True)
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(3 * MOST_SECONDS)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert log.read_text() == "built\n" * 2


def test_pruning_deletes_what_is_old_and_what_was_interrupted(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    made = _get(cache)
    (tmp_path / "building" / "half.unfinished").mkdir()
    assert cache.prune(older_than_days=1) == []
    assert set(cache.prune(older_than_days=0)) == {
        made.path,
        tmp_path / "building" / "half.unfinished",
    }
    assert not made.path.exists()


def test_a_folder_is_complete_or_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "below" / "tools"

    def half(temporary: Path) -> None:
        _write(temporary)
        assert not folder.exists()
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        locked_folder(folder, half)
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == []
    assert locked_folder(folder, _write) == folder
    assert [path.name for path in folder.iterdir()] == ["model.tflite"]
    assert locked_folder(folder, _never) == folder


# The source that an artifact is made by


TREE = {
    "tool/__init__.py": "",
    "tool/build.py": "from tool import shapes\nimport json\n",
    "tool/shapes.py": "def widths():\n    from .parts import first\n    return first.WIDTH\n",
    "tool/parts/__init__.py": "",
    "tool/parts/first.py": "WIDTH = 3\n",
    "tool/other.py": "import tool.build\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The source of a small project."""
    root = tmp_path / "project"
    for name, content in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.mark.parametrize("name", TREE)
def test_editing_what_an_artifact_is_made_by_builds_it_again(
    name: str, tree: Path, tmp_path: Path
) -> None:
    """And editing another file does not."""
    cache = Cache(tmp_path / "cache", sources=tree)
    first = _get(cache, code=("tool.build",))
    assert _get(cache, _never, code=("tool.build",)) == first
    (tree / name).write_text(TREE[name] + "# edited\n")
    if name == "tool/other.py":
        assert _get(cache, _never, code=("tool.build",)) == first
    else:
        assert _get(cache, code=("tool.build",)).path != first.path
