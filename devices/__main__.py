"""Ask runtimes what they take, and emulated boards what a tweet costs them.

``python -m devices probe`` and ``python -m devices cost FLATBUFFER TOKENIZER --device pi4``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from devices import emulation, operators
from devices.cost import instructions
from devices.errors import DeviceError, InvokeError, LoadError, ProvisionError, RunnerError
from devices.profile import profile
from devices.projection import by_instructions
from devices.provision import RUNTIMES, python_for


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 2 when a runtime cannot be had or asked."""
    parser = argparse.ArgumentParser(prog="python -m devices", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    probe = commands.add_parser("probe", help="write which operators each runtime takes")
    probe.add_argument("--store", type=Path, default=Path(".store"))
    probe.add_argument("--out", type=Path, default=operators.TABLE)
    cost = commands.add_parser("cost", help="count the instructions of a tweet, on emulated boards")
    cost.add_argument("flatbuffer", type=Path)
    cost.add_argument("tokenizer", type=Path, help="its tokenizer.json")
    cost.add_argument("--device", action="append", required=True, help="a board (repeatable)")
    cost.add_argument("--label", action="append", help="one for each class (default: three)")
    cost.add_argument("--runtime", choices=RUNTIMES, default="ai-edge-litert")
    cost.add_argument("--tokens", type=int, help="only up to the length that takes so many")
    cost.add_argument("--store", type=Path, default=Path(".store"))
    args = parser.parse_args(argv)
    try:
        if args.command == "cost":
            return _cost(args)
        table = {
            runtime.requirements[0]: operators.probe(name, [str(python_for(name, args.store))])
            for name, runtime in RUNTIMES.items()
        }
        # What else boards have: the same binaries, but for the machine that they are of.
        emulated = emulation.command(profile("pi4"), args.store)
        for name in RUNTIMES:
            if (release := emulation.release(name)) not in table:
                table[release] = operators.probe(name, emulated)
    except (DeviceError, InvokeError, LoadError, ProvisionError, RunnerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    args.out.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for release, taken in table.items():
        print(f"{release}: {len(taken)} operators")
    print(f"written: {args.out}")
    return 0


def _cost(args: argparse.Namespace) -> int:
    """Print a line a board and length. What a time is, it says: projected."""
    labels = args.label or ["negative", "neutral", "positive"]
    for device in args.device:
        board = profile(device)
        counted = instructions(
            board,
            args.runtime,
            args.store,
            flatbuffer=args.flatbuffer,
            tokenizer=args.tokenizer,
            label_names=labels,
            tokens=args.tokens,
        )
        for length, count in counted.instructions.items():
            time = by_instructions(board, count)
            print(
                f"{device} {args.runtime} {length} tokens: {count / 1e6:.1f} M instructions, "
                f"projected {1000 * time.low:.0f} to {1000 * time.high:.0f} ms"
            )
        print(f"{device}: two counts of {min(counted.instructions)} tokens differ by "
              f"{counted.spread:.3%}", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
