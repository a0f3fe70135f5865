"""An emulated board: the device's own binaries, under QEMU, on this machine.

What a board runs is unpacked into the cache once: Debian Bookworm's arm64 Python and C libraries,
and the aarch64 wheels of both runtimes. QEMU gives them the board's CPU model, so that kernels
choose the instructions that they choose there; its system calls are this machine's. It shows that
the binaries load a file and answer right. Speed it cannot show.

Needs neither root nor an image. Debian's files come from where this machine's own apt gets its own,
through folders of apt's that are private; wheels from where its pip does. docs/emulation.md.
"""

from __future__ import annotations

import functools
import hashlib
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from common.process import run
from devices.boards.detection import Machine
from devices.boards.memory_limit import MemoryLimits, memory_limits
from devices.errors import DeviceError, NoRuntimeError, ProvisionError
from devices.pins import pins
from devices.profile import Profile
from devices.runtimes import RUNTIMES

# The group of pyproject.toml that holds the wheels.
GROUP = "emulated"
# The system of an emulated board, whatever its own is: both runtimes have wheels for it.
SYSTEM = "Debian Bookworm's userland"
_USERLAND = [
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "python3.11",
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "zlib1g",
    "libbz2-1.0",
    "liblzma5",
    "libexpat1",
    "libffi8",
    "libssl3",
    "libsqlite3-0",
    "libuuid1",
]
_PLATFORMS = ("2_17", "2014", "2_27", "2_28", "2_34")
# Debian's emulator, and the libraries it needs that a small system may lack. Not the static one:
# only the other one takes plugins.
_QEMU = [
    "qemu-user",
    "libcapstone4",
    "liburing2",
    "libnuma1",
    "libglib2.0-0",
    "libpcre2-8-0",
    "libgnutls30",
    "libp11-kit0",
    "libidn2-0",
    "libunistring2",
    "libtasn1-6",
    "libnettle8",
    "libhogweed6",
    "libgmp10",
    "libffi8",
]
# With cortex-a76; and up to the last one with the plugin interface of count_instructions.c.
_VERSIONS = ((7, 2), (9, 0))
_DEADLINE_S = 600.0


def spec(profile: Profile, runtime: str, cache: Path) -> str:
    """The execnet spec of a worker on the emulated board, provisioned on first use.

    Its memory is the board's wherever `memory_limits` can impose it, and the emulator's own on top.
    Which runtime it is changes nothing: all of the group `GROUP` are there.

    Raises:
        DeviceError: the profile names no CPU to emulate.
        NoRuntimeError: an emulated board has not the runtime.
        ProvisionError: what to do where it cannot be had on this machine.
    """
    release(runtime)
    return execnet_spec(command(profile, cache))


def execnet_spec(command: Sequence[str]) -> str:
    """The spec of a worker whose Python is this command."""
    return f"popen//python={shlex.join(command)}"


def command(profile: Profile, cache: Path, options: Sequence[str] = ()) -> list[str]:
    """The board's Python, emulated, in the board's memory; `options` are QEMU's. See `spec`."""
    bare = bare_command(profile, cache, options)
    limits = memory_limits()
    if isinstance(limits, str) or profile.memory_mb is None:
        return bare
    return [*limits.confined(profile.memory_mb * 10**6 + emulator_bytes(profile, cache)), *bare]


def kills(pid: int) -> int | None:
    """How many processes of a running emulator, or of one that ended, the kernel killed for want of
    the board's memory; None where that is not imposed."""
    limits = memory_limits()
    return limits.kills(pid) if isinstance(limits, MemoryLimits) else None


def has(runtime: str) -> bool:
    """Whether emulated boards have a runtime."""
    return any(pin.startswith(f"{RUNTIMES[runtime].group}==") for pin in pins(GROUP))


def release(runtime: str) -> str:
    """Return the release of a runtime that emulated boards have, such as ``NAME==1.0``.

    Raises:
        NoRuntimeError: they have none.
    """
    group = RUNTIMES[runtime].group
    if not has(runtime):
        raise NoRuntimeError(
            f"an emulated board has no {runtime}: add {group} to the group {GROUP!r} of "
            "pyproject.toml, in a release with a wheel for aarch64"
        )
    return next(pin for pin in pins(GROUP) if pin.startswith(f"{group}=="))


def imposed(profile: Profile) -> str:
    """Whether and how the board's memory is imposed, in a few words for a report."""
    limits = memory_limits()
    if isinstance(limits, MemoryLimits):
        return f"{profile.memory_mb} MB imposed by a memory cgroup (version {limits.version})"
    return f"memory not imposed: {limits}"


def machine(profile: Profile) -> Machine:
    """What an emulated board stands for, and what it is not.

    Raises:
        DeviceError: the profile names no CPU to emulate.
    """
    own = (
        f", not {profile.image.os}" if profile.image and "Bookworm" not in profile.image.os else ""
    )
    return Machine(
        device=profile.name,
        model=f"{profile.description}, emulated",
        cpu=f"QEMU's {_cpu(profile)} under Bookworm",
        cores=profile.cores or 1,
        memory_mb=profile.memory_mb or 0,
        architecture="aarch64",
        os=SYSTEM + own,
    )


def board_name(device: str) -> str:
    """What ids and reports call a device that is emulated."""
    return f"{device}@qemu"


@functools.cache
def emulator_bytes(profile: Profile, cache: Path) -> int:
    """What QEMU itself keeps resident: a bare Python under it, less one on this machine."""
    ask = ["-I", "-c", "print(open('/proc/self/status').read())"]

    def peak(python: list[str]) -> int:
        said = re.search(r"VmHWM:\s+(\d+) kB", _run([*python, *ask]))
        return int(said[1]) * 1024 if said else 0

    return peak(bare_command(profile, cache)) - peak([sys.executable])


def translations_mb(pid: int) -> float:
    """MB (10^6 bytes) of the translated code that a running emulator keeps resident: its only
    memory that is both written and executed. 0 where it cannot be read."""
    found, writable_code = 0, False
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
            if header := re.match(r"[0-9a-f]+-[0-9a-f]+ (\S+) ", line):
                writable_code = header[1].startswith("rwx")
            elif writable_code and (resident := re.match(r"Rss:\s+(\d+) kB", line)):
                found += int(resident[1]) * 1024
    return found / 1e6


def qemu(cache: Path) -> Path:
    """`qemu-aarch64`, dynamically linked: the one on PATH, or Debian's, unpacked into the cache."""
    if (found := shutil.which("qemu-aarch64")) and _suits(qemu_version(Path(found))):
        return Path(found)

    def make(folder: Path) -> None:
        _unpack_debian(_QEMU, _architecture(), folder)
        for other in (folder / "usr/bin").glob("qemu-*"):
            if other.name != "qemu-aarch64":
                other.unlink()
        start = folder / "qemu-aarch64"
        # Its libraries are not the guest's.
        start.write_text(
            '#!/bin/sh\nhere=$(dirname "$0")\nLD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-gnu) '
            'exec "$here/usr/bin/qemu-aarch64" -U LD_LIBRARY_PATH "$@"\n',
            encoding="utf-8",
        )
        start.chmod(0o755)
        if not _suits(version := qemu_version(start)):
            raise ProvisionError(
                f"this machine's apt has QEMU {version[0]}.{version[1]}; {_wanted()}"
            )

    return made_once(cache, "qemu", [*_QEMU, _architecture()], make) / "qemu-aarch64"


def userland(cache: Path) -> Path:
    """The root of the board's files in the cache, made on first use and tried out once."""
    requirements = pins(GROUP)

    def make(folder: Path) -> None:
        _unpack_debian(_USERLAND, "arm64", folder)
        platforms = [
            f"--platform=manylinux{tag if tag == '2014' else '_' + tag}_aarch64"
            for tag in _PLATFORMS
        ]
        packages = folder / "usr/lib/python3/dist-packages"
        # Without what they require: tokenizers wants a hub's client, which no board needs.
        _run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--only-binary=:all:",
                "--python-version=3.11",
                "--implementation=cp",
                *platforms,
                "--target",
                str(packages),
                *requirements,
            ]
        )
        own = [runtime.module for name, runtime in RUNTIMES.items() if has(name)]
        modules = ", ".join(("numpy", "tokenizers", "execnet", *own))
        python = _python(qemu(cache), "max", folder)
        _run([*python, "-c", f"import {modules}"])

    return made_once(cache, "userland", [*_USERLAND, *requirements], make)


def bare_command(profile: Profile, cache: Path, options: Sequence[str] = ()) -> list[str]:
    """Return the board's Python, emulated, in all of this machine's memory. See `command`."""
    # The userland is tried out under QEMU, so it makes that first.
    root = userland(cache)
    return _python(qemu(cache), _cpu(profile), root, options)


def _cpu(profile: Profile) -> str:
    if profile.emulation is None:
        raise DeviceError(
            f"{profile.name} cannot be emulated: its profile has no [emulation] with the cpu's name"
        )
    return profile.emulation.cpu


def _python(emulator: Path, cpu: str, root: Path, options: Sequence[str] = ()) -> list[str]:
    python = root / "usr/bin/python3.11"
    return [str(emulator), "-cpu", cpu, *options, "-L", str(root), str(python)]


def qemu_version(emulator: Path) -> tuple[int, int]:
    """(7, 2) for QEMU 7.2; (0, 0) where it does not say."""
    said = re.search(r"version (\d+)\.(\d+)", _run([str(emulator), "-version"]))
    return (int(said[1]), int(said[2])) if said else (0, 0)


def _suits(version: tuple[int, int]) -> bool:
    return _VERSIONS[0] <= version < _VERSIONS[1]


def _wanted() -> str:
    (least, minor), (end, _) = _VERSIONS
    return (
        f"wanted is {least}.{minor} to {end - 1}.x: on Debian Bookworm, "
        "`apt install qemu-user`, or apt sources of Bookworm"
    )


def _architecture() -> str:
    """Debian's name of this machine's architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def made_once(
    cache: Path, name: str, contents: Sequence[str], make: Callable[[Path], None]
) -> Path:
    """Return a folder of the cache, whole or not there; several processes make it once."""
    key = hashlib.sha256("\n".join(contents).encode()).hexdigest()[:12]
    folder = (cache / "emulation" / f"{name}-{key}").absolute()
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not folder.exists():
            print(f"making {folder}, for emulated boards", flush=True)
            temporary = folder.with_name(f"{folder.name}.unfinished")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            make(temporary)
            temporary.rename(folder)
            print(f"ready: {folder}", flush=True)
    return folder


def _unpack_debian(packages: Sequence[str], architecture: str, folder: Path) -> None:
    """Debian packages of an architecture, fetched and unpacked without being installed.

    apt's sources, keys and proxies are this machine's own; what it writes is thrown away.
    """
    if missing := [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]:
        raise ProvisionError(
            f"emulating a board takes Debian's packages, and this machine has no {missing[0]}: run "
            "it on Debian Bookworm, or in a container of it"
        )
    with tempfile.TemporaryDirectory() as temporary:
        private = Path(temporary)
        for part in ("state/lists/partial", "cache/archives/partial", "packages"):
            (private / part).mkdir(parents=True)
        (private / "state/status").touch()
        options = {
            "Dir::State": private / "state",
            "Dir::State::status": private / "state/status",
            "Dir::Cache": private / "cache",
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
        _run([*apt, "update"])
        _run([*apt, "download", *packages], private / "packages")
        for package in sorted((private / "packages").glob("*.deb")):
            _run(["dpkg-deb", "--extract", str(package), str(folder)])


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    """What a command prints; ProvisionError with its last lines if it fails or hangs."""
    return run(
        command,
        timeout=_DEADLINE_S,
        error=ProvisionError,
        what="emulating a board",
        advice="If it is the network, run again; packages and wheels are those of Debian Bookworm, "
        "and apt's sources must be too",
        folder=folder,
    )
