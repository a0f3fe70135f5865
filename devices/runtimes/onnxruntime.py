"""onnxruntime: ONNX Runtime on the CPU.

A text is given as it is, at its own length: padding would change what a model answers whose
activations are quantized at run time, as their scale is taken over the padding too.

Its wheels keep a telemetry database below the home folder, and send it to Microsoft, since 1.29;
unless a variable is set before they are imported. Without it the claim of privacy fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAME = "onnxruntime"
MODULE = "onnxruntime"
FORMAT = "onnx"
GROUP = "onnxruntime"
BY_DEFAULT = False
# The wheels of 1.32.0: cp311 and later, manylinux_2_28.
OLDEST_PYTHON = (3, 11)
OLDEST_GLIBC = (2, 28)
ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1"}

_DTYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64"}


class Signature:
    """The one entry point of an ONNX model. See `devices.runtime.Signature`."""

    name = "main"

    def __init__(self, session: Any) -> None:
        self.inputs = _tensors(session.get_inputs())
        self.outputs = _tensors(session.get_outputs())
        self.longest: int | None = None
        if any(None in shape for _, shape in self.inputs.values()):
            stated = session.get_modelmeta().custom_metadata_map.get("max_tokens", "")
            self.longest = int(stated) if stated.isdecimal() else None
        self._session = session

    def run(self, given: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return dict(zip(self.outputs, self._session.run(None, dict(given)), strict=True))
        except Exception as error:  # its own many types
            raise RuntimeError(str(error)) from error


def _tensors(values: Sequence[Any]) -> dict[str, Any]:
    """Return name → (dtype, shape). A first dimension of any size holds one text."""
    return {
        value.name: (
            _DTYPES.get(value.type, value.type),
            tuple(
                size if isinstance(size, int) else None if axis else 1
                for axis, size in enumerate(value.shape)
            ),
        )
        for value in values
    }


def load(runtime: Any, model_file: str, threads: int) -> tuple[list[Signature], str]:
    """Return the one signature of an ONNX model, and the execution provider."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    try:
        session = runtime.InferenceSession(model_file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own many types
        raise RuntimeError(str(error)) from error
    return [Signature(session)], ", ".join(session.get_providers())


def operators(runtime: Any, files: Mapping[str, Sequence[bytes]]) -> dict[str, int]:
    """Return the newest operator set in which each operator has a kernel on the CPU."""
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    known: dict[str, int] = {}
    for schema in native.get_all_operator_schema():
        known[schema.domain] = max(known.get(schema.domain, 0), schema.since_version)
    newest: dict[str, int] = {}
    for kernel in native.get_all_opkernel_def():
        if kernel.provider == "CPUExecutionProvider":
            domain = "" if kernel.domain == "ai.onnx" else kernel.domain
            name = f"{domain}.{kernel.op_name}" if domain else kernel.op_name
            last = min(kernel.version_range[1], known.get(domain, 0))
            newest[name] = max(newest.get(name, 0), last)
    return newest
