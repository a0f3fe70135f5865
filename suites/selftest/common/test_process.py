"""A command ends in time, and what it says is quoted when it fails."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from common.process import run

SAY = [sys.executable, "-c"]


class ToolError(RuntimeError):
    """The caller's own."""


def test_what_a_command_prints_is_returned(tmp_path: Path) -> None:
    upper = "import os, sys; print(sys.stdin.read().upper(), os.getcwd(), file=sys.stdout)"
    printed = run(
        [*SAY, upper], timeout=60, error=ToolError, what="x", given=b"said", folder=tmp_path
    )
    assert printed == f"SAID {tmp_path}\n"
    (tmp_path / "file").write_bytes(b"from a file")
    with (tmp_path / "file").open("rb") as file:
        assert run(["cat"], timeout=60, error=ToolError, what="x", given=file) == "from a file"


def test_no_command_waits_for_a_person() -> None:
    assert run(["cat"], timeout=60, error=ToolError, what="x") == ""


def test_a_failure_is_the_caller_s_error_with_the_last_lines_and_what_to_do() -> None:
    fail = "import sys; print('\\n'.join(map(str, range(40)))); sys.exit('no space left')"
    with pytest.raises(ToolError) as failed:
        run([*SAY, fail], timeout=60, error=ToolError, what="the board", advice="Buy one.")
    text = str(failed.value)
    assert text.startswith(f"the board: `{sys.executable} -c ")
    assert "ended with status 1: 29\n" in text
    assert text.endswith("\n  no space left\nBuy one.")


def test_a_command_can_be_named_shortly_and_may_say_nothing() -> None:
    named = r"^the board: `sh` ended with status 3: it said nothing$"
    with pytest.raises(ToolError, match=named):
        run(["sh", "-c", "exit 3"], timeout=60, error=ToolError, what="the board", shown="sh")


def test_a_command_that_hangs_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(ToolError, match=r"^x: `sleep 600` took more than 1 s$"):
        run(["sleep", "600"], timeout=1, error=ToolError, what="x")
    assert time.monotonic() - started < 60


def test_a_command_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ToolError, match=r"^x: `/no/such`"):
        run(["/no/such"], timeout=60, error=ToolError, what="x")
