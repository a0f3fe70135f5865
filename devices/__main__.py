"""Ask the runtimes what they take: ``python -m devices probe``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from devices import operators
from devices.errors import DeviceError
from devices.provision import RUNTIMES, python_for


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 2 when a runtime cannot be had or asked."""
    parser = argparse.ArgumentParser(prog="python -m devices", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    probe = commands.add_parser("probe", help="write which operators each runtime takes")
    probe.add_argument("--store", type=Path, default=Path(".store"))
    probe.add_argument("--out", type=Path, default=operators.TABLE)
    args = parser.parse_args(argv)
    try:
        table = {
            runtime.requirements[0]: operators.probe(name, python_for(name, args.store))
            for name, runtime in RUNTIMES.items()
        }
    except DeviceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    args.out.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for release, taken in table.items():
        print(f"{release}: {len(taken)} operators")
    print(f"written: {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
