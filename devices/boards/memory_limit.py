"""A board's memory, imposed on an emulator by a memory cgroup of this machine's kernel.

Version 1 of cgroups as well as 2, and no tool but a shell. The process confines itself and then
becomes the emulator, so that none of its memory is counted elsewhere, and its process id stays.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_NAME = "fit-for-device"
# Swap is no memory: in version 1 the limit of both together is the same, in 2 there is none of it.
_CONFINE = (
    'group="$1-$$"; limit="$2"; shift 2; mkdir "$group"; '
    "for file in memory.max memory.limit_in_bytes memory.memsw.limit_in_bytes; do "
    'if [ -e "$group/$file" ]; then echo "$limit" > "$group/$file"; fi; done; '
    'if [ -e "$group/memory.swap.max" ]; then echo 0 > "$group/memory.swap.max"; fi; '
    'echo $$ > "$group/cgroup.procs"; exec "$@"'
)


@dataclass(frozen=True)
class MemoryLimits:
    """Where memory cgroups can be made: `folder`, of that version of cgroups."""

    folder: Path
    version: int

    def confined(self, limit_bytes: int) -> list[str]:
        """What a command is put behind so that it gets no more memory; past it, it is killed."""
        remove_stale(self.folder)
        _remove_at_exit(self.folder)
        return ["sh", "-ec", _CONFINE, "sh", str(self._group), str(limit_bytes)]

    def kills(self, pid: int) -> int | None:
        """How many processes the kernel killed for want of memory within the limit of a process
        that this one confined; None if it confined none of that id."""
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                text = Path(f"{self._group}-{pid}", name).read_text(encoding="utf-8")
                if found := re.search(r"^oom_kill (\d+)", text, re.MULTILINE):
                    return int(found[1])
        return None

    @property
    def _group(self) -> Path:
        """Of this process's cgroups: the path up to the id of who is in it."""
        return self.folder / f"{_NAME}-{os.getpid()}"


@functools.cache
def _remove_at_exit(folder: Path) -> None:
    atexit.register(remove_stale, folder)


def remove_stale(folder: Path) -> None:
    """Remove cgroups of this process and of those that are gone; one in use is not removed."""
    for group in folder.glob(f"{_NAME}-*-*"):
        owner = int(group.name.split("-")[-2])
        if owner == os.getpid() or not Path(f"/proc/{owner}").exists():
            with suppress(OSError):
                group.rmdir()


def memory_limits(root: Path = Path("/")) -> MemoryLimits | str:
    """Where this process may make memory cgroups, or why it may not.

    `root`: for files of another machine.
    """
    if not sys.platform.startswith("linux") or shutil.which("sh") is None:
        return "cgroups are Linux's"
    try:
        own = _own(root / "proc/self/cgroup")
        mounts = (root / "proc/self/mountinfo").read_text(encoding="utf-8")
    except OSError as error:
        return f"no cgroups here ({error})"
    refused = "the kernel has no memory controller"
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        mounted_root, point = fields.split(" ")[3:5]
        if kind == "cgroup" and "memory" in options.split(" ")[-1].split(","):
            version, path = 1, own.get("memory", "/")
        elif kind == "cgroup2":
            version, path = 2, own.get("", "/")
        else:
            continue
        top = root / point.lstrip("/")
        inside = path.removeprefix(mounted_root if mounted_root != "/" else "").lstrip("/")
        for folder in (top / inside, *(top / inside).parents):
            if version == 2 and not _hands_on_memory(folder):
                refused = f"{folder} hands no memory controller on"
            elif not os.access(folder, os.W_OK):
                refused = f"{folder} may not be written"
            else:
                return MemoryLimits(folder, version)
            if folder == top or version == 1:
                break
    return refused


def _own(path: Path) -> dict[str, str]:
    """This process's cgroup by controller; of version 2 under the empty name."""
    rows = (line.split(":", 2) for line in path.read_text(encoding="utf-8").splitlines())
    return {name: where for _, names, where in rows for name in names.split(",")}


def _hands_on_memory(folder: Path) -> bool:
    """Of version 2: whether the cgroups within a folder are limited in memory."""
    with suppress(OSError):
        return "memory" in (folder / "cgroup.subtree_control").read_text(encoding="utf-8").split()
    return False
