"""Child processes that end when their parent does, however it ends."""

from __future__ import annotations

import ctypes
import shutil
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


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
