"""Which operators a runtime takes, up to which version: asked of the runtime itself.

How it is asked stands in its file in `devices/runtimes/`. An Interpreter looks up every operator
code of a FlatBuffer before it looks at anything else, and refuses the file for one that it does not
know. So a FlatBuffer of nothing but one code tells whether it is known. ONNX Runtime lists its
kernels. ``python fit.py probe`` writes op_support.json; with it a file is refused before a board is
asked: "FULLY_CONNECTED v12; tflite-runtime==2.14.0 stops at v10".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.process import run
from devices.errors import DeviceError
from devices.runtimes import RUNTIMES

TABLE = Path(__file__).with_name("op_support.json")
_NEWEST = 30  # twice what any operator has reached (FULLY_CONNECTED v14)
# Stands in for a worker, whose sources of a runtime it makes modules of likewise.
_ASK = """
import importlib, json, os, sys, types
asked = json.load(sys.stdin)
os.environ.update(asked["environment"])
for name, source in asked["sources"].items():
    file = sys.modules[name] = types.ModuleType(name)
    exec(source, vars(file))
files = {name: [bytes.fromhex(file) for file in files] for name, files in asked["files"].items()}
print(json.dumps(file.operators(importlib.import_module(asked["module"]), files)))
"""


def refused(operators: Iterable[str], release: str) -> list[str]:
    """Why a release of a runtime (``NAME==VERSION``) would not load a file of these operators
    (``NAME vN``); none if it would.

    DeviceError if the release was not probed.
    """
    try:
        newest = json.loads(TABLE.read_text(encoding="utf-8"))[release]
    except (OSError, ValueError, KeyError) as error:
        raise DeviceError(
            f"{TABLE} does not say what {release} takes ({error!r}): run python fit.py probe"
        ) from error
    reasons = []
    for operator in operators:
        name, _, version = operator.rpartition(" v")
        if newest.get(name, 0) < int(version):
            stops = f"stops at v{newest[name]}" if newest.get(name) else "has no such operator"
            reasons.append(f"{operator}; {release} {stops}")
    return reasons


def probe(runtime: str, python: Sequence[str]) -> dict[str, int]:
    """The newest version of each operator that the runtime of ``python`` (a command) takes.

    Operators that it does not know are left out. Takes some seconds; for TensorFlow Lite it needs
    the schema of `ai_edge_litert` (group ``build``) in this process.
    """
    asked = RUNTIMES[runtime]
    files = _files() if asked.format == "tflite" else {}
    request = {
        "sources": dict(asked.sources),
        "module": asked.module,
        "environment": dict(asked.environment),
        "files": files,
    }
    said = run(
        [*python, "-c", _ASK],
        timeout=600,
        error=DeviceError,
        what=f"{runtime} could not be probed",
        shown=python[0],
        given=json.dumps(request).encode(),
    )
    return dict(sorted(json.loads(said.splitlines()[-1]).items()))


def _files() -> dict[str, list[str]]:
    """By operator, FlatBuffers in hexadecimal that name its version 1, 2 and so on."""
    from ai_edge_litert import schema_py_generated as schema

    custom = {"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
    return {
        name: [_file(code, version).hex() for version in range(1, _NEWEST + 1)]
        for name, code in vars(schema.BuiltinOperator).items()
        if isinstance(code, int) and name not in custom
    }


def _file(code: int, version: int) -> bytes:
    """A FlatBuffer that names one operator and does not use it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    operator = schema.OperatorCodeT()
    operator.builtinCode, operator.deprecatedBuiltinCode = code, min(code, 127)
    operator.version = version
    graph = schema.SubGraphT()
    graph.tensors = graph.inputs = graph.outputs = graph.operators = []
    model = schema.ModelT()
    model.version, model.description = 3, b"probe"
    model.operatorCodes, model.subgraphs, model.buffers = [operator], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
