"""A worker that answers each request with what a file says, as `devices.worker` does not."""

import os
import pickle
import struct

# Names the file in the worker's environment.
VARIABLE = "FUZZ_REPLY"
LABELS = ("negative", "neutral", "positive")
_TENSOR = {"dtype": "int32", "shape": [1, 8]}
# A sound answer to each request.
SOUND = {
    "memory": {"resident": 1, "peak": 2, "anonymous": 1, "lengths_used": [8]},
    "load": {
        "runtime": {"name": "ai-edge-litert", "version": "2.3.0"},
        "delegate": "XNNPACK",
        "python": "3.11.2",
        "machine": "aarch64",
        "signatures": [
            {
                "name": "main",
                "length": 8,
                "inputs": {"ids": _TENSOR},
                "outputs": {"logits": _TENSOR},
            }
        ],
        "import_seconds": 0.1,
        "load_seconds": 0.1,
        "any_length": False,
    },
    "classify": {"logits": struct.pack("<6f", *range(6)), "tokens": [3, 4], "truncated": 0},
    "measure": {
        "seconds": [0.2] * 64,  # the fewest for a 90th percentile with confidence 0.99
        "invoke": [0.1] * 64,
        "cpu_seconds": 0.1,
        "all_cpu_seconds": 0.2,
        "wall_seconds": 12.8,
        "first_seconds": 0.1,
        "read": [(0.0, ["12", None]), (0.4, ["13", None])],
    },
    "guard": {"network": "n", "files": "f", "connections": [], "writes": ["x"], "processes": []},
    "environment": {"machine": "aarch64", "python": "3.11.2", "numpy": "1.26.4"},
    "read": "12",
    "overhead": 0.001,
}

if __name__ == "__channelexec__":
    channel.receive()  # type: ignore[name-defined]  # noqa: F821 - whether it is guarded
    for _ in channel:  # type: ignore[name-defined]  # noqa: F821
        with open(os.environ[VARIABLE], "rb") as file:  # noqa: PTH123
            channel.send(pickle.load(file))  # type: ignore[name-defined]  # noqa: F821
