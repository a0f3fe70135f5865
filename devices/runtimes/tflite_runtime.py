"""tflite-runtime: TensorFlow Lite's Interpreter in its last release, as Bookworm images have it."""

from devices.runtimes.litert import load, operators  # noqa: F401

NAME = "tflite-runtime"
MODULE = "tflite_runtime.interpreter"
FORMAT = "tflite"
GROUP = "tflite-runtime"
BY_DEFAULT = True
SLOW = True  # dynamic_range takes ten times as long as on ai-edge-litert
# The wheels of 2.14.0: cp39 to cp311, manylinux_2_34, for aarch64 and armv7l.
NEWEST_PYTHON = (3, 11)
OLDEST_GLIBC = (2, 34)
RUNS_IN_32_BITS = True
