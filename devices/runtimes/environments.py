"""Runtimes, each in an environment of its own: their requirements exclude each other.

The pins, and why, stand in pyproject.toml, `[dependency-groups]`, in the groups of the same names.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from common.process import die_with_parent
from devices.errors import NoRuntimeError, ProvisionError
from devices.profile import Image

# How long making an environment may take, on a slow board over a slow network.
INSTALL_S = 1800.0
PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@dataclass(frozen=True)
class Runtime:
    """A runtime: its group in pyproject.toml, and what its wheels need."""

    name: str
    newest_python: tuple[int, int] | None = None
    oldest_glibc: tuple[int, int] | None = None
    oldest_python: tuple[int, int] = (3, 9)

    def installs_on(self, image: Image) -> bool:
        """Whether there is a wheel for the Python and the glibc of a system image."""
        python, glibc = _numbers(image.python), _numbers(image.glibc)
        newest, oldest = self.newest_python or python, self.oldest_glibc or glibc
        return self.oldest_python <= python <= newest and oldest <= glibc

    @property
    def requirements(self) -> tuple[str, ...]:
        return pins(self.name)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))


def pins(group: str) -> tuple[str, ...]:
    """What a group of pyproject.toml pins; ProvisionError if the group is not there."""
    groups = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["dependency-groups"]
    if group not in groups:
        raise ProvisionError(f"{PROJECT} has no dependency group {group!r}")
    return tuple(groups[group])


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        # The wheels of 2.3.0: cp310 and later, manylinux_2_27.
        Runtime("ai-edge-litert", oldest_python=(3, 10), oldest_glibc=(2, 27)),
        # The wheels of 2.14.0, the last release: cp39 to cp311, manylinux_2_34.
        Runtime("tflite-runtime", newest_python=(3, 11), oldest_glibc=(2, 34)),
    )
}


def has_runtime(runtime: str) -> bool:
    """Whether the running Python has the runtime installed, in whatever version."""
    try:
        importlib.metadata.version(runtime)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def python_for(runtime: str, cache: Path) -> Path:
    """The Python of the runtime's environment under `store`, made on first use.

    NoRuntimeError with what to do when this machine cannot have it; ProvisionError when pip fails,
    with its last lines. An interrupted environment is made again; several processes make it once.
    """
    if runtime not in RUNTIMES:
        raise ProvisionError(f"unknown runtime {runtime!r}; there are {', '.join(RUNTIMES)}")
    wanted = RUNTIMES[runtime]
    python, version = _interpreter(wanted)
    key = "\n".join([*wanted.requirements, version, platform.machine()])
    folder = cache / "runtimes" / f"{runtime}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A virtual environment cannot be moved, so not "next to, then renamed": the marker comes last.
    ready = folder / "ready"
    with FileLock(folder.with_name(folder.name + ".lock")):
        if not ready.exists():
            print(f"making the environment of {runtime} (Python {version}): {folder}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            _run([python, "-m", "venv", str(folder)], runtime)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            _run([*pip, "--disable-pip-version-check", *wanted.requirements], runtime)
            ready.write_text("\n".join(wanted.requirements) + "\n", encoding="utf-8")
            print(f"ready: {folder}", flush=True)
    return folder / "bin" / "python"


def _interpreter(runtime: Runtime) -> tuple[str, str]:
    """A Python that the runtime has wheels for, and its version."""
    _, glibc = platform.libc_ver()
    oldest = runtime.oldest_glibc
    if oldest and glibc and _numbers(glibc) < oldest:
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
        done = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False)
        if re.fullmatch(rf"{newest[0]}\.{newest[1]}\.\S+", version := done.stdout.strip()):
            return found, version
    raise NoRuntimeError(
        f"{runtime.name} has no wheel for a Python newer than {newest[0]}.{newest[1]}; this is "
        f"{platform.python_version()}, and no working {name} is on PATH: install one "
        f"(`apt install {name}-venv`, or `uv python install {newest[0]}.{newest[1]}` and link it)"
    )


def _run(command: list[str], runtime: str) -> None:
    try:
        done = subprocess.run(
            die_with_parent(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        raise ProvisionError(
            f"the environment of {runtime} could not be made: `{' '.join(command)}` took more than "
            f"{INSTALL_S / 60:.0f} minutes. Run again"
        ) from None
    if done.returncode:
        lines = "\n  ".join(done.stdout.splitlines()[-12:])
        raise ProvisionError(
            f"the environment of {runtime} could not be made: `{' '.join(command)}` ended with "
            f"status {done.returncode}. If it is the network, run again; if it is a version, see "
            f"the group {runtime!r} in {PROJECT}. Its last lines:\n  {lines}"
        )
