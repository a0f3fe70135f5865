"""What the operators of a model file cost, each in a file of its own, and what the whole costs.

In instructions on an emulated board, in seconds elsewhere. `_ASK` runs on the device, in the Python
of the runtime.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.process import run
from devices.boards.emulation import bare_command
from devices.environments import python_for
from devices.errors import DeviceError
from devices.measurement.instruction_count import plugin
from devices.profile import Profile
from devices.runtimes import RUNTIMES

# How often an operator stands in the smaller and in the larger of its two files.
COPIES = (1, 5)
_TIMEOUT_S = 3600.0
_ASK = """
import importlib, json, mmap, struct, sys, time
import numpy as np
asked = json.load(sys.stdin)
Interpreter = importlib.import_module(asked["module"]).Interpreter
if asked["counter"]:
    file = open(asked["counter"], "rb")
    counter = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    def now(): return struct.unpack("=Q", counter[:8])[0]
    rounds = 2
else:
    now, rounds = time.perf_counter_ns, 200

def values(tensor):
    shape = [int(n) for n in tensor["shape"]]
    if np.issubdtype(tensor["dtype"], np.floating):
        return np.random.default_rng(0).standard_normal(shape).astype(tensor["dtype"])
    return np.ones(shape, tensor["dtype"])

def median(call):
    call()
    taken = []
    for _ in range(rounds):
        before = now()
        call()
        taken.append(now() - before)
    return sorted(taken)[(len(taken) - 1) // 2]

costs = []
for files in asked["operators"]:
    cost = []
    for file in files:
        interpreter = Interpreter(model_path=file, num_threads=1)
        interpreter.allocate_tensors()
        for tensor in interpreter.get_input_details():
            interpreter.set_tensor(tensor["index"], values(tensor))
        cost.append(median(interpreter.invoke))
    names = [o["op_name"] for o in getattr(interpreter, "_get_ops_details", list)()]
    costs.append([*cost, "DELEGATE" in names])
interpreter = Interpreter(model_path=asked["whole"], num_threads=1)
interpreter.allocate_tensors()
runner = interpreter.get_signature_runner(asked["signature"])
given = {name: values(tensor) for name, tensor in runner.get_input_details().items()}
print(json.dumps({"operators": costs, "whole": median(lambda: runner(**given))}))
"""


@dataclass(frozen=True)
class OperatorCosts:
    """What operators cost.

    Attributes:
        unit: "instructions" or "ms".
        operators: the cost of one operator of each kind, and whether the delegate runs it.
        whole: the cost of the signature.
    """

    unit: str
    operators: tuple[tuple[float, bool], ...]
    whole: float


def operator_costs(
    files: Sequence[Sequence[Path]],
    whole: Path,
    signature: str,
    *,
    runtime: str,
    cache: Path,
    emulated: Profile | None = None,
) -> OperatorCosts:
    """Measure with one thread.

    Args:
        files: of each kind of operator a file for each number of `COPIES`.
        whole: the model file that they are of.
        signature: the key of the signature of it that is measured.
        runtime: one with TensorFlow Lite's Interpreter.
        cache: where environments are.
        emulated: the board that is emulated, whose instructions are counted; None: seconds, here.

    Raises:
        DeviceError: the runtime has no Interpreter, or it failed.
        ProvisionError: the board cannot be emulated.
    """
    module = RUNTIMES[runtime].module
    if not module.endswith(".interpreter"):
        known = [n for n, other in RUNTIMES.items() if other.module.endswith(".interpreter")]
        raise DeviceError(f"{runtime} has no Interpreter to profile; there are {', '.join(known)}")
    asked = {
        "module": module,
        "operators": [[str(path) for path in paths] for paths in files],
        "whole": str(whole.absolute()),
        "signature": signature,
        "counter": None,
    }
    if emulated is None:
        found = _ask([str(python_for(runtime, cache))], asked, runtime)
        return _costs("ms", found, 1e-6)
    with tempfile.NamedTemporaryFile(prefix="instructions-") as counter:
        counter.write(bytes(8))
        counter.flush()
        options = ["-plugin", f"{plugin(cache)},counter={counter.name}"]
        python = bare_command(emulated, cache, options)
        found = _ask(python, asked | {"counter": counter.name}, runtime)
    return _costs("instructions", found, 1)


def _ask(python: Sequence[str], asked: Mapping[str, object], runtime: str) -> dict[str, Any]:
    said = run(
        [*python, "-c", _ASK],
        timeout=_TIMEOUT_S,
        error=DeviceError,
        what=f"the operators could not be measured on {runtime}",
        shown=python[0],
        given=json.dumps(asked).encode(),
    )
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def _costs(unit: str, found: dict[str, Any], scale: float) -> OperatorCosts:
    few, many = COPIES
    return OperatorCosts(
        unit,
        tuple(
            (scale * (larger - smaller) / (many - few), delegated)
            for smaller, larger, delegated in found["operators"]
        ),
        scale * found["whole"],
    )
