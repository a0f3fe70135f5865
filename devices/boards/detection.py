"""Which machine is this? Told from files, so that a board behind a remote can be asked too."""

from __future__ import annotations

import os
import platform
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devices.profile import profiles

# The text of a file of the machine by its absolute path, or None: `Worker.read` is one.
Read = Callable[[str], str | None]

# Arm's MIDR part numbers (Arm Architecture Reference Manual; Linux's asm/cputype.h).
_ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
}


# /proc/cpuinfo's names for instructions that multiply and sum int8: Arm SDOT, x86 VNNI and AMX.
_INT8_DOT_PRODUCT = frozenset({"asimddp", "avx512_vnni", "avx_vnni", "amx_int8"})


@dataclass(frozen=True)
class Machine:
    """A machine: `device` is a profile's name, "host" when no board was recognised.

    `int8_dot_product`: whether its CPU multiplies int8 faster than float32; without it,
    quantization saves memory but hardly time. `bits` are those of its Python: a 64-bit kernel may
    have a 32-bit userland, which few wheels are for.
    """

    device: str
    model: str
    cpu: str
    cores: int
    memory_mb: int
    architecture: str
    os: str
    int8_dot_product: bool = False
    bits: int = 64

    @property
    def description(self) -> str:
        return (
            f"{self.model or self.cpu}, {self.cores} cores ({self.cpu}), {self.memory_mb} MB, "
            f"{self.architecture}{'' if self.bits == 64 else ' with a 32-bit userland'}, {self.os}"
        )

    @property
    def machine_info(self) -> dict[str, str]:
        """What the machine contributes to the machine info."""
        return {"device": self.device, "cpu": self.cpu, "architecture": self.architecture}


def reader(root: Path = Path("/")) -> Read:
    """Reads files of this machine, or of one whose files were recorded under another root."""

    def read(path: str) -> str | None:
        try:
            return (root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    return read


def detect(
    root: Path = Path("/"),
    *,
    read: Read | None = None,
    architecture: str | None = None,
    bits: int = 8 * struct.calcsize("P"),
) -> Machine:
    """The machine whose files are under `root`, or that `read` reads from (a worker's).

    `architecture`: where it is known already; its file is there since Linux 6.1 only. `bits`: of
    its Python.
    """
    read = read or reader(root)
    model = (read("/proc/device-tree/model") or "").rstrip("\0\n ")
    cpuinfo = read("/proc/cpuinfo") or ""
    return Machine(
        device=_recognise(model, (read("/proc/device-tree/compatible") or "").split("\0")),
        model=model,
        cpu=_cpu(cpuinfo),
        cores=cpuinfo.count("processor\t:") or os.cpu_count() or 1,
        memory_mb=_memory_mb(read("/proc/meminfo") or ""),
        architecture=architecture or (read("/proc/sys/kernel/arch") or platform.machine()).strip(),
        os=_os(read("/etc/os-release") or ""),
        bits=bits,
        int8_dot_product=not _INT8_DOT_PRODUCT.isdisjoint(cpuinfo.split()),
    )


def _recognise(model: str, compatible: list[str]) -> str:
    """The device with the longest matching beginning, so that order of files does not matter; or
    the one that the device tree says it is compatible with."""
    matches = [
        (len(prefix), name)
        for name, profile in profiles().items()
        for prefix in profile.models
        if model.startswith(prefix)
    ]
    matches += [
        (0, name)
        for name, profile in profiles().items()
        if not set(profile.compatible).isdisjoint(compatible)
    ]
    return max(matches)[1] if matches else "host"


def _cpu(cpuinfo: str) -> str:
    """x86 names its model; Arm gives part numbers, of which a big.LITTLE machine has several."""
    fields = [line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line]
    values = [(key.strip(), value.strip()) for key, value in fields]
    names = [value for key, value in values if key == "model name"]
    parts = [_ARM_PARTS.get(v, f"Arm part {v}") for k, v in values if k == "CPU part"]
    counted = Counter(parts or names)
    return " + ".join(sorted(counted)) or "unknown CPU"


def _memory_mb(meminfo: str) -> int:
    """10^6 bytes that the system sees."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024 // 10**6
    return 0


def _os(release: str) -> str:
    for line in release.splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip().strip('"')
    return "unknown OS"
