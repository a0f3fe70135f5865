"""Whatever is killed, and whenever: no process is left, no lock held, no half report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from fixtures.cases import REFERENCE, ZOO
from models.store import Store
from suites.selftest import small_bundle
from tweets.splits import Splits

ROOT = Path(__file__).parents[2]
# What the project promises; a child that the kernel ends with its parent takes a moment.
MOST_SECONDS = 20.0


def descendants(pid: int) -> set[int]:
    """The processes below a process, by id."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found |= {child} | descendants(child)
    return found


def alive(pid: int) -> bool:
    """Whether it still runs; a zombie, which waits for its parent, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def await_gone(pids: set[int]) -> float:
    """Seconds until none of them runs; fails after `MOST_SECONDS`."""
    started = time.monotonic()
    while any(map(alive, pids)):
        if time.monotonic() - started > MOST_SECONDS:
            left = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in filter(alive, pids)}
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            pytest.fail(f"orphans: {left}")
        time.sleep(0.05)
    return time.monotonic() - started


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, splits: Splits, store: Store) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "few.zip"
    return small_bundle.write(out, ZOO / "mobilebert-brands", Path(REFERENCE), splits, store)


@pytest.fixture
def running(bundle: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in the middle of a long measurement."""
    run = subprocess.Popen(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m",
            "host and latency", f"--bundle={bundle}", "--runtime=ai-edge-litert", "--tier=normal",
            f"--store={tmp_path / 'store'}", f"--report-dir={tmp_path / 'report'}",
        ],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    yield run
    run.kill()
    run.wait()


def await_runner(run: subprocess.Popen[bytes]) -> set[int]:
    """The processes below a run once one of them has worked for a second: it measures."""
    until = time.monotonic() + 60
    while time.monotonic() < until and run.poll() is None:
        for pid in descendants(run.pid):
            ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]
            if int(ticks) > 100 and b"eval(sys.stdin" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return descendants(run.pid)
        time.sleep(0.1)
    pytest.fail(f"no measurement began; pytest: {run.poll()}")


def test_killing_pytest_leaves_nothing_behind(
    running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    children = await_runner(running)
    running.kill()
    running.wait()
    await_gone(children)
    locks = list((tmp_path / "store").rglob("*.lock"))
    assert locks
    for lock in locks:
        with FileLock(lock, timeout=1):
            pass
    written = {path.name for path in (tmp_path / "report").glob("*")}
    assert written <= {"benchmark.json.unfinished"}


def test_killing_the_runner_ends_the_run_with_a_verdict(
    running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    for child in await_runner(running):
        os.kill(child, signal.SIGKILL)
    until = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < until:
        for child in descendants(running.pid):  # of the tests that come after
            os.kill(child, signal.SIGKILL)
        time.sleep(0.2)
    assert running.returncode == 1
    assert "died of SIGKILL" in (tmp_path / "report" / "verdicts.md").read_text()


def test_a_runner_that_notices_nothing_ends_with_its_caller(tmp_path: Path) -> None:
    """One whose Python never runs again cannot see that its pipe is closed."""
    caller = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys; from devices.gateway import Runner\n"
            "runner = Runner('popen//python=' + sys.executable, isolate=False)\n"
            "print(runner.pid, flush=True); input()",
        ],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert caller.stdout is not None
    pid = int(caller.stdout.readline())
    os.kill(pid, signal.SIGSTOP)  # as deaf as native code that never returns
    caller.kill()
    caller.wait()
    assert await_gone({pid}) < 5
