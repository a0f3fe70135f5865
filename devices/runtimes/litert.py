"""ai-edge-litert: LiteRT's Interpreter, with XNNPACK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAME = "ai-edge-litert"
MODULE = "ai_edge_litert.interpreter"
FORMAT = "tflite"
GROUP = "ai-edge-litert"
BY_DEFAULT = True
# The wheels of 2.3.0: cp310 and later, manylinux_2_27.
OLDEST_PYTHON = (3, 10)
OLDEST_GLIBC = (2, 27)


class Signature:
    """A signature of an Interpreter. See `devices.runtime.Signature`."""

    longest = None

    def __init__(self, name: str, runner: Any) -> None:
        self.name = name
        self.inputs = _tensors(runner.get_input_details())
        self.outputs = _tensors(runner.get_output_details())
        self._runner = runner

    def run(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        outputs: Mapping[str, Any] = self._runner(**given)
        return outputs


class _FirstGraph:
    """What an Interpreter runs of a file without signatures, called as a signature is."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._inputs = {each["name"]: each for each in interpreter.get_input_details()}
        self._outputs = {each["name"]: each for each in interpreter.get_output_details()}

    def get_input_details(self) -> dict[str, Any]:
        return self._inputs

    def get_output_details(self) -> dict[str, Any]:
        return self._outputs

    def __call__(self, **given: Any) -> dict[str, Any]:
        for name, tensor in given.items():
            self._interpreter.set_tensor(self._inputs[name]["index"], tensor)
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(each["index"])
            for name, each in self._outputs.items()
        }


def _tensors(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return name → (dtype, shape). A length that can be resized is None.

    A first dimension that can be resized holds one text.
    """
    from numpy import dtype

    tensors = {}
    for name, tensor in details.items():
        shape = [int(length) for length in tensor["shape"]]
        resizable = [length == -1 for length in tensor.get("shape_signature", shape)]
        resizable += [False] * (len(shape) - len(resizable))
        resizable[:1] = [False] * len(resizable[:1])
        lengths = (None if any_ else n for n, any_ in zip(shape, resizable, strict=False))
        tensors[name] = (dtype(tensor["dtype"]).name, tuple(lengths))
    return tensors


def load(runtime: Any, model_file: str, threads: int) -> tuple[list[Signature], str]:
    """Return the signatures of a FlatBuffer, and the delegate.

    The delegate is told by the delegated nodes of the first graph, as far as they are shown.
    """
    interpreter = runtime.Interpreter(model_path=model_file, num_threads=threads)
    interpreter.allocate_tensors()
    names = interpreter.get_signature_list()
    signatures = [Signature(name, interpreter.get_signature_runner(name)) for name in names]
    signatures = signatures or [Signature("main", _FirstGraph(interpreter))]
    details = getattr(interpreter, "_get_ops_details", None)  # nothing public tells
    if details is None:
        return signatures, "unknown"
    nodes = sum(operator["op_name"] == "DELEGATE" for operator in details())
    return signatures, f"XNNPACK ({nodes} partitions)" if nodes else "none"


def operators(runtime: Any, files: Mapping[str, Sequence[bytes]]) -> dict[str, int]:
    """Return the newest version of each operator whose FlatBuffer the Interpreter does not refuse.

    Args:
        runtime: the imported ``MODULE``.
        files: by operator, FlatBuffers that name its versions 1, 2 and so on, and nothing else.
    """
    newest: dict[str, int] = {}
    for name, versions in files.items():
        for version, file in enumerate(versions, start=1):
            try:
                runtime.Interpreter(model_content=file)
            except (ValueError, RuntimeError):
                if name in newest:
                    break
            else:
                newest[name] = version
    return newest
