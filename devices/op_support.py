"""Which operators a runtime takes, up to which version: asked of the runtime itself.

A runtime looks up every operator code of a FlatBuffer before it looks at anything else, and refuses
the file for one that it does not know. So a FlatBuffer of nothing but one code tells whether it is
known. `python fit.py probe` asks for every operator of the schema and writes `operators.json`;
with it a file is refused before a board is asked: "FULLY_CONNECTED v12; tflite-runtime==2.14.0
stops at v10".
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from devices.errors import DeviceError
from devices.worker import MODULES

TABLE = Path(__file__).with_name("op_support.json")
_NEWEST = 30  # twice what any operator has reached (FULLY_CONNECTED v14)
_ASK = """
import importlib, json, sys
interpreter = importlib.import_module(sys.argv[1]).Interpreter
for name, files in json.load(sys.stdin).items():
    taken = 0
    for version, file in enumerate(files, start=1):
        try:
            interpreter(model_content=bytes.fromhex(file))
            taken = version
        except (ValueError, RuntimeError):
            if taken:
                break
    print(name, taken)
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

    Operators that it does not know are left out. Takes some seconds; needs the schema of
    `ai_edge_litert` (group ``build``) in this process.
    """
    from ai_edge_litert import schema_py_generated as schema

    codes = {
        name: code for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
    }
    custom = {"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
    files = {
        name: [_file(code, version).hex() for version in range(1, _NEWEST + 1)]
        for name, code in codes.items()
        if name not in custom
    }
    done = subprocess.run(
        [*python, "-c", _ASK, MODULES[runtime]],
        input=json.dumps(files),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise DeviceError(f"{runtime} could not be probed:\n{done.stderr[-2000:]}")
    rows = (line.split() for line in done.stdout.splitlines())
    return {name: int(newest) for name, newest in sorted(rows) if int(newest)}


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
