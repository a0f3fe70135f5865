"""litert-compiled: LiteRT's CompiledModel, the API that LiteRT 2 recommends, with XNNPACK.

It is in the wheel of ai-edge-litert, and computes the same logits as its Interpreter. XNNPACK packs
the weights of each signature anew. It packs them once if it may keep them in a file, which it then
maps: mobilebert-brands in dynamic_range takes 94 MB with it and 177 MB without (x86-64, one thread,
four signatures; 21 MB of them the file). A worker may write nothing, so the file is written
beforehand (`prepare`), as a device does when it starts for the first time. `load` without it works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from devices.runtimes.litert import operators as taken_by_the_interpreter

NAME = "litert-compiled"
MODULE = "ai_edge_litert.compiled_model"
FORMAT = "tflite"
GROUP = "ai-edge-litert"
BY_DEFAULT = False
# The wheels of 2.3.0: cp310 and later, manylinux_2_27.
OLDEST_PYTHON = (3, 10)
OLDEST_GLIBC = (2, 27)

_PACKED = ".xnnpack"  # what is appended to a model file's name


class Signature:
    """A signature of a CompiledModel, with buffers of its own. See `devices.runtime.Signature`."""

    longest = None

    def __init__(self, model: Any, name: str) -> None:
        self.name = name
        self.inputs = _tensors(model.get_input_tensor_details(name))
        self.outputs = _tensors(model.get_output_tensor_details(name))
        if any(_can_be_resized(model, name, each, of[1]) for each, of in self.inputs.items()):
            self.inputs = {each: (of[0], (1, None)) for each, of in self.inputs.items()}
            return  # a worker refuses it
        self._model = model
        self._given = {each: model.create_input_buffer_by_name(name, each) for each in self.inputs}
        self._made = {each: model.create_output_buffer_by_name(name, each) for each in self.outputs}

    def run(self, given: Mapping[str, Any]) -> dict[str, Any]:
        for name, tensor in given.items():
            self._given[name].write(tensor)
        self._model.run_by_name(self.name, self._given, self._made)
        return {name: self._read(name) for name in self.outputs}

    def _read(self, name: str) -> Any:
        from math import prod

        dtype, shape = self.outputs[name]
        return self._made[name].read(prod(shape), dtype).reshape(shape)


def _tensors(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return name → (dtype, shape)."""
    return {
        name: (tensor["dtype"], tuple(int(length) for length in tensor["shape"]))
        for name, tensor in details.items()
    }


def _can_be_resized(model: Any, signature: str, name: str, shape: Sequence[int]) -> bool:
    """Return whether an input has no fixed length, which its details do not tell."""
    try:
        model.resize_input_tensor_by_name(signature, name, [*shape[:-1], shape[-1] + 1])
    except (ValueError, RuntimeError):
        return False
    return True


def prepare(runtime: Any, model_file: str) -> None:
    """Write the packed weights next to the file, unless they are there and fit this XNNPACK."""
    _compiled(runtime, model_file, 1, model_file + _PACKED)


def _compiled(runtime: Any, model_file: str, threads: int, packed: str) -> Any:
    cpu = runtime.CpuOptions(num_threads=threads, xnnpack_weight_cache_path=packed)
    return runtime.CompiledModel.from_file(model_file, options=runtime.Options(cpu_options=cpu))


def load(runtime: Any, model_file: str, threads: int) -> tuple[list[Signature], str]:
    """Return the signatures of a FlatBuffer, and XNNPACK, if everything is delegated to it."""
    from pathlib import Path

    packed = model_file + _PACKED
    model = _compiled(runtime, model_file, threads, packed if Path(packed).is_file() else "")
    signatures = [Signature(model, name) for name in model.get_signature_list()]
    return signatures, "XNNPACK" if model.is_fully_accelerated() else "XNNPACK, in part"


def operators(runtime: Any, files: Mapping[str, Sequence[bytes]]) -> dict[str, int]:
    """Return what the Interpreter of the same wheel takes: the kernels are the same."""
    from ai_edge_litert import interpreter

    return taken_by_the_interpreter(interpreter, files)
