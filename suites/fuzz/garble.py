"""`python garble.py SEED PYTHON-ARGUMENTS`: a Python whose output has bytes changed on its way."""

from __future__ import annotations

import os
import random
import subprocess
import sys


def main(seed: str, *arguments: str) -> int:
    """Pass the output of a Python on, with one byte in some thousands changed or left out."""
    rng = random.Random(int(seed))
    command = [sys.executable, *arguments]
    left = int(rng.expovariate(1 / 400))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as python:
        assert python.stdout is not None
        while read := os.read(python.stdout.fileno(), 1 << 16):
            changed = bytearray(read)
            while left < len(changed):
                how = rng.randrange(3)
                if how == 0:
                    changed[left] ^= 1 << rng.randrange(8)
                elif how == 1:
                    del changed[left : left + rng.choice((1, 4))]
                else:
                    changed[left:left] = rng.randbytes(rng.choice((1, 4)))
                left += int(rng.expovariate(1 / 400)) + 1
            left -= len(changed)
            os.write(1, bytes(changed))
    return python.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
