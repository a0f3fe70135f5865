"""What a runtime is, as this machine knows it. The runtimes are in `devices/runtimes/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from devices.pins import pins
from devices.profile import Image

# Name → (dtype, shape). A length of None is any length.
Tensors = Mapping[str, tuple[str, tuple[int | None, ...]]]


class Signature(Protocol):
    """One entry point of a loaded model file, on the device, for one text.

    Attributes:
        name: its key in the file.
        inputs: its inputs; their shape is (1, length).
        outputs: its outputs.
        longest: how many tokens it takes at most, if its length is not fixed; else None.
    """

    name: str
    inputs: Tensors
    outputs: Tensors
    longest: int | None

    def run(self, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the outputs by name, numpy arrays of this shape.

        Raises:
            ValueError, RuntimeError: it failed.
        """


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A runtime. Each field but the last two is a constant of its file, in capitals there.

    Attributes:
        name: what ``--runtime`` and reports call it.
        module: what a worker imports.
        format: of the model files that it takes: "tflite" or "onnx".
        group: the group of pyproject.toml that pins it, named as its distribution. Runtimes of one
            group share an environment.
        modes: the modes that it takes; None: all that are built in its format.
        slow: whether it is given a sample of the texts where others are given all.
        by_default: whether it is judged if no runtime is named.
        oldest_python, newest_python: the Pythons that its wheels are for; None: any later one.
        oldest_glibc: the glibc that its wheels need.
        runs_in_32_bits: whether there are wheels for a 32-bit userland on Arm.
        environment: variables that are set before it is imported.
        prepares: whether its file has a function ``prepare``.
        sources: what is sent to a device: module → source text, each after those it imports.
    """

    name: str
    module: str
    format: str
    group: str
    by_default: bool
    modes: tuple[str, ...] | None = None
    slow: bool = False
    oldest_python: tuple[int, int] = (3, 9)
    newest_python: tuple[int, int] | None = None
    oldest_glibc: tuple[int, int] | None = None
    runs_in_32_bits: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    prepares: bool
    sources: Mapping[str, str]

    def installs_on(self, image: Image) -> bool:
        """Return whether there is a wheel for the Python and the glibc of a system image."""
        python, glibc = numbers(image.python), numbers(image.glibc)
        newest, oldest = self.newest_python or python, self.oldest_glibc or glibc
        return self.oldest_python <= python <= newest and oldest <= glibc

    @property
    def requirements(self) -> tuple[str, ...]:
        """What its environment holds, itself first, such as ``NAME==1.0``."""
        return pins(self.group)


def numbers(version: str) -> tuple[int, ...]:
    """Return (3, 11) for "3.11.2"."""
    return tuple(map(int, version.split(".")[:2]))
