"""Runtimes, each in an environment of its own: their requirements exclude each other.

The pins, and why, stand in pyproject.toml, `[dependency-groups]`, each in a group of its own.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from common.process import run
from devices.errors import NoRuntimeError, ProvisionError
from devices.pins import PROJECT
from devices.runtime import Runtime, numbers
from devices.runtimes import RUNTIMES

# How long making an environment may take, on a slow board over a slow network.
INSTALL_S = 1800.0


def has_runtime(runtime: str) -> bool:
    """Whether the running Python has the runtime installed, in whatever version."""
    try:
        importlib.metadata.version(RUNTIMES[runtime].group)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def python_for(runtime: str, cache: Path) -> Path:
    """Return the Python of the runtime's environment in the cache folder, made on first use.

    An interrupted environment is made again; several processes make it once.

    Raises:
        NoRuntimeError: this machine cannot have it; with what to do.
        ProvisionError: no such runtime, or pip failed.
    """
    if runtime not in RUNTIMES:
        raise ProvisionError(f"unknown runtime {runtime!r}; there are {', '.join(RUNTIMES)}")
    wanted = RUNTIMES[runtime]
    python, version = _interpreter(wanted)
    key = "\n".join([*wanted.requirements, version, platform.machine()])
    folder = cache / "runtimes" / f"{wanted.group}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A virtual environment cannot be moved, so not "next to, then renamed": the marker comes last.
    ready = folder / "ready"
    with FileLock(folder.with_name(folder.name + ".lock")):
        if not ready.exists():
            name = wanted.group
            print(f"making the environment of {name} (Python {version}): {folder}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            _run([python, "-m", "venv", str(folder)], name)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            _run([*pip, "--disable-pip-version-check", *wanted.requirements], name)
            ready.write_text("\n".join(wanted.requirements) + "\n", encoding="utf-8")
            print(f"ready: {folder}", flush=True)
    return folder / "bin" / "python"


def _interpreter(runtime: Runtime) -> tuple[str, str]:
    """A Python that the runtime has wheels for, and its version."""
    _, glibc = platform.libc_ver()
    oldest = runtime.oldest_glibc
    if oldest and glibc and numbers(glibc) < oldest:
        raise NoRuntimeError(
            f"{runtime.name} needs glibc {oldest[0]}.{oldest[1]} or newer, this machine has "
            f"{glibc}: use a newer system (Debian Bookworm has 2.36), or the other runtime"
        )
    newest = runtime.newest_python
    if newest is None or sys.version_info[:2] <= newest:
        return sys.executable, platform.python_version()
    name = f"python{newest[0]}.{newest[1]}"
    if found := shutil.which(name):
        ask = [found, "-c", "import platform; print(platform.python_version())"]
        with suppress(ProvisionError):
            version = run(ask, timeout=60, error=ProvisionError, what=name).strip()
            if version.startswith(f"{newest[0]}.{newest[1]}."):
                return found, version
    raise NoRuntimeError(
        f"{runtime.name} has no wheel for a Python newer than {newest[0]}.{newest[1]}; this is "
        f"{platform.python_version()}, and no working {name} is on PATH: judge without it, or "
        f"install one (`apt install {name}-venv` on Bookworm; elsewhere `uv python install "
        f"{newest[0]}.{newest[1]}`, and link it)"
    )


def _run(command: list[str], group: str) -> None:
    run(
        command,
        timeout=INSTALL_S,
        error=ProvisionError,
        what=f"the environment of {group} could not be made",
        advice=f"If it is the network, run again; if a version, see {group!r} in {PROJECT}",
    )
