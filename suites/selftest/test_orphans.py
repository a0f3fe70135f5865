"""Whatever is killed, and whenever: no process is left, no lock held, no half report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock

from devices import emulation
from fixtures.cases import REFERENCE, ZOO
from models.store import Store
from suites.selftest import small_bundle
from tweets.splits import Splits

ROOT = Path(__file__).parents[2]
Popen = subprocess.Popen[bytes]
# What the project promises; a child that the kernel ends with its parent takes a moment.
MOST_SECONDS = 20.0


def descendants(pid: int) -> set[int]:
    """The processes below a process, by id."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
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
def start(bundle: Path, tmp_path: Path, store: Store) -> Iterator[Callable[..., Popen]]:
    """Starts a run of the bundle, in a store of its own; what emulation takes is the shared one's,
    so that it is provisioned once, and before anything is waited for."""
    (tmp_path / "store").mkdir()
    started: list[Popen] = []

    def run(expression: str, *options: str) -> Popen:
        if "--emulate" in options:
            made = emulation.userland(store.root)
            (tmp_path / "store" / "emulation").symlink_to(made.parent)
        started.append(
            subprocess.Popen(
                [
                    sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m",
                    expression, f"--bundle={bundle}", f"--store={tmp_path / 'store'}",
                    f"--report-dir={tmp_path / 'report'}", *options,
                ],
                cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )  # fmt: skip
        return started[-1]

    yield run
    for one in started:
        one.kill()
        one.wait()


def await_request(run: Popen, seconds: float = 90) -> int:
    """The runner of a run, once it has a FlatBuffer in memory: it is asked something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and run.poll() is None:
        for pid in descendants(run.pid):
            with suppress(OSError):  # each runner leads a session
                if os.getsid(pid) == pid and ".tflite" in Path(f"/proc/{pid}/maps").read_text():
                    return pid
        time.sleep(0.01)
    pytest.fail(f"no runner was asked anything; pytest: {run.poll()}")


ONE = "--runtime=ai-edge-litert"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("host and latency", ONE, "--tier=normal"), id="timed"),
        pytest.param(("host and accuracy", ONE, "-n2"), id="workers"),
        pytest.param(("pi4 and conformance", ONE, "--emulate", "--tier=rapid"), id="emulated"),
    ],
)
def test_killing_pytest_leaves_nothing_behind(
    options: tuple[str, ...], start: Callable[..., Popen], tmp_path: Path
) -> None:
    """Though everything below it is deaf by then, as native code is that never returns: the runner
    or emulator in the middle of a request, and pytest-xdist's workers."""
    run = start(*options)
    await_request(run)
    children = descendants(run.pid)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGSTOP)
    run.kill()
    run.wait()
    await_gone(children)
    locks = list((tmp_path / "store").rglob("*.lock"))
    assert locks
    for lock in locks:
        with FileLock(lock, timeout=1):
            pass
    written = {path.name for path in (tmp_path / "report").glob("*")}
    assert written <= {"benchmark.json.unfinished"}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("host and (memory or privacy)", ONE), id="runner"),
        pytest.param(("pi4 and privacy", "--emulate", "--tier=rapid"), id="emulator"),
    ],
)
def test_killing_a_runner_costs_one_test_alone(
    options: tuple[str, ...], start: Callable[..., Popen], tmp_path: Path
) -> None:
    run = start(*options)
    os.kill(await_request(run), signal.SIGKILL)
    assert run.wait(timeout=120) == 1
    records = json.loads((tmp_path / "report" / "verdicts.json").read_text())["records"]
    asked = {r["outcome"]: r for r in records if r["outcome"] != "not run"}  # the others, by -m
    assert asked.keys() == {"failed", "passed"}
    assert asked["failed"]["verdict"] == "invalid"
    assert "died of SIGKILL" in asked["failed"]["reason"]


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


def test_what_provisions_a_board_ends_with_its_caller() -> None:
    """apt or pip, in the middle of a download."""
    caller = subprocess.Popen(
        [sys.executable, "-c", "from devices import emulation; emulation._run(['sleep', '60'])"],
        cwd=ROOT,
    )
    until, begun = time.monotonic() + 30, set[int]()
    while not begun and time.monotonic() < until:
        begun = {
            pid for pid in descendants(caller.pid)
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep")
        }  # fmt: skip
        time.sleep(0.05)
    caller.kill()
    caller.wait()
    assert begun and await_gone(begun) < 5
