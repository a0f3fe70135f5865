"""Fit for the device: one command line for everything that is no test run.

Judging is pytest's: `pytest -m host`. `python fit.py COMMAND --help` explains a command.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

# By group: the room that has the commands, and of each command what it does and an example.
GROUPS: dict[str, dict[str, tuple[str, str, str]]] = {
    "Reports": {
        "show": ("reports", "print the table of a run", "reports/runs/host"),
        "paper": ("reports", "print the table of a paper", "reports/runs/host"),
        "compare": ("reports", "print what differs between two runs", "RUN_A RUN_B"),
        "gate": ("reports", "exit 1 if a target got worse", "RUN --baseline FILE.json"),
        "baseline": ("reports", "make a baseline of a run", "RUN --out FILE.json"),
        "frontier": ("reports", "size against drop, of many runs", "RUN --csv docs/frontier.csv"),
        "check": ("reports", "check verdict files that others made", "FOLDER"),
        "metrics": ("reports", "print the table of metrics", ""),
    },
    "Models": {
        "record": ("models", "record a checkpoint's reference outputs", "DIR"),
        "score": ("models", "print the measures of reference outputs", "DIR"),
        "bundle": ("models", "write all that a board needs as one file", "--out candidate.zip"),
        "mixed": ("fixtures", "find the recipe of mode mixed", "DIR"),
        "layers": ("models", "print a mode's error by layer", "DIR --mode full_integer"),
    },
    "Training": {
        "finetune": ("models", "train an encoder on labelled texts", "DIR --out runs/mine"),
        "distill": ("models", "train a MobileBERT from teachers", "TEACHER --out runs/student"),
    },
    "Devices": {
        "boards": ("devices", "print the table of boards", ""),
        "probe": ("devices", "ask each runtime for its operators", ""),
        "aa": ("devices", "time a model file against itself", "FILE TOKENIZER TEXTS"),
        "count": ("devices", "count instructions of a text", "FILE TOKENIZER --device pi4"),
    },
    "House": {
        "prune": ("models", "delete old files of the cache", "--older-than-days 30"),
    },
}
ROOMS = {name: entry[0] for group in GROUPS.values() for name, entry in group.items()}


def usage() -> str:
    """Return the help: every command in its group, with an example."""
    lines = ["usage: python fit.py COMMAND ...", "", (__doc__ or "").strip()]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        for name, (_, purpose, example) in commands.items():
            lines.append(f"  {name:<10} {purpose:<42} fit.py {name} {example}".rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return its exit status; 2 for an unknown command."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return 0
    if given[0] not in ROOMS:
        print(f"error: no command {given[0]!r}; python fit.py --help lists them", file=sys.stderr)
        return 2
    name = ROOMS[given[0]]
    room = importlib.import_module(f"{name}.{'commands' if name == 'reports' else '__main__'}")
    status: int = room.main(given)
    return status


if __name__ == "__main__":
    sys.exit(main())
