"""Commands and other child processes: with a deadline, and none outlives its parent."""

from __future__ import annotations

import ctypes
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


# So many of a failed command's last lines are quoted.
_LINES = 12


def run(
    command: Sequence[str],
    *,
    timeout: float,
    error: type[Exception],
    what: str,
    advice: str = "",
    shown: str | None = None,
    given: IO[bytes] | bytes = b"",
    folder: Path | None = None,
) -> str:
    """Return what a command prints. It ends when this process does.

    Args:
        command: with its arguments.
        timeout: seconds.
        error: raised if it fails.
        what: what fails then, such as "the environment of NAME".
        advice: what to do then; a sentence.
        shown: what an error calls the command; None: all of it.
        given: its standard input.
        folder: where it runs; None: here.

    Raises:
        error: it cannot be started, takes longer, or ends with another status than 0; with its
            last lines.
    """
    name = f"{what}: `{shlex.join(command) if shown is None else shown}`"
    then = advice and f"\n{advice}"
    try:
        done = subprocess.run(
            die_with_parent(command),
            input=given if isinstance(given, bytes) else None,
            stdin=None if isinstance(given, bytes) else given,
            capture_output=True,
            cwd=folder,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise error(f"{name} took more than {timeout:.0f} s{then}") from None
    except OSError as fault:
        raise error(f"{name}: {fault}{then}") from fault
    if done.returncode:
        lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
        said = "\n  ".join(lines[-_LINES:]) or "it said nothing"
        raise error(f"{name} ended with status {done.returncode}: {said}{then}")
    return done.stdout.decode("utf-8", "replace")


def die_with_parent(command: Sequence[str]) -> list[str]:
    """The command, killed by the kernel when the thread that starts it ends (prctl(2),
    PR_SET_PDEATHSIG, through util-linux's `setpriv`): so wait for it in that thread.

    Where there is no `setpriv`, a child has to notice by itself that its pipe is closed.
    """
    tool = shutil.which("setpriv")
    return [tool, "--pdeathsig", "KILL", *command] if tool else list(command)


def end_with_parent() -> None:
    """The same for this process, by its own wish, where it is Linux's: even amid native code."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
