"""Child processes that end when this one does, however it ends."""

from __future__ import annotations

import shutil
from collections.abc import Sequence


def mortal(command: Sequence[str]) -> list[str]:
    """The command, killed by the kernel when the thread that starts it ends (prctl(2),
    PR_SET_PDEATHSIG, through util-linux's `setpriv`): so wait for it in that thread.

    Where there is no `setpriv`, a child has to notice by itself that its pipe is closed.
    """
    tool = shutil.which("setpriv")
    return [tool, "--pdeathsig", "KILL", *command] if tool else list(command)
