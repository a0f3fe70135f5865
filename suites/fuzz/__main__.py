"""`python -m suites.fuzz --inputs N --seed S`: bad input of every kind, and what became of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from common import atomic
from common.argtypes import number

# Inputs of one child. What is done of a run is written down after each.
BLOCK = 250


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the inputs; 1 if one of them had a fault."""
    parser = argparse.ArgumentParser(prog="python -m suites.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=number(int, 1), default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--kind", action="append", metavar="KIND", help="this one (repeatable)")
    parser.add_argument("--out", type=Path, default=Path(".cache/fuzz"), metavar="DIR")
    parser.add_argument("--try", dest="one", type=int, metavar="NUMBER", help="one input, here")
    options = parser.parse_args(arguments)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a forked child has none of its threads
    from suites.fuzz import trial
    from suites.fuzz.kinds import KINDS

    if unknown := [name for name in options.kind or () if name not in KINDS]:
        parser.error(f"--kind {unknown[0]}: there are {', '.join(KINDS)}")
    chosen = {name: kind for name, kind in KINDS.items() if name in (options.kind or KINDS)}
    out = options.out.absolute()
    if options.one is not None:
        for kind in chosen.values():
            kind.read(trial.make(kind, options.seed, options.one, out / "one"))
        return 0
    counts: dict[str, Counter[str]] = {}
    faults: list[trial.Fault] = []
    whole = sum(kind.share for kind in chosen.values())
    for name, kind in chosen.items():
        counts[name] = Counter()
        share = max(1, round(options.inputs * kind.share / whole))
        for block in _blocks(share):
            file = out / "done" / f"{options.seed}-{name}-{block.start}-{block.stop}.json"
            if not file.exists():
                ends, found = trial.run(kind, options.seed, block, out)
                done = {"ends": ends, "faults": [asdict(fault) for fault in found]}
                atomic.write_text(file, json.dumps(done) + "\n")
            done = json.loads(file.read_text())
            counts[name].update(done["ends"])
            faults += [trial.Fault(**fault) for fault in done["faults"]]
        met = sum(fault.kind == name for fault in faults)
        print(f"{name}: {dict(counts[name])}, {met} with a fault", flush=True)
    trial.forget(out)
    alike = Counter((fault.kind, fault.what) for fault in faults)
    for (name, what), times in alike.most_common():
        fault = next(f for f in faults if (f.kind, f.what) == (name, what))
        print(f"FAULT {times} x {name}: {what}: {fault.said[:300]} ({fault.kept})")
    tried = sum(sum(ends.values()) for ends in counts.values()) + len(faults)
    print(f"{tried} inputs, seed {options.seed}: {len(faults)} with a fault")
    return 1 if faults else 0


def _blocks(count: int) -> Iterator[range]:
    for start in range(0, count, BLOCK):
        yield range(start, min(start + BLOCK, count))


if __name__ == "__main__":
    sys.exit(main())
