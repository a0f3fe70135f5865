"""Commands of `fit.py` that read reports.

Exit status: 0 no regression, 1 regression, 2 nothing valid to say (missing or unreadable file, no
target in common, an invalid target).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from reports import aggregate, pareto, table
from reports.compare import compare
from reports.gate import Tolerances, gate, read_baseline, write_baseline
from reports.schema import write_text


def register(subparsers: Any) -> None:
    """Add this room's commands."""
    check = subparsers.add_parser(
        "check",
        help="check that a verdict file is consistent",
        epilog="example: python fit.py check reports/runs/host",
    )
    show = subparsers.add_parser(
        "show",
        help="print the table of a run",
        epilog="example: python fit.py show reports/runs/host",
    )
    show.add_argument("--markdown", action="store_true")
    paper = subparsers.add_parser(
        "paper",
        help="print references, candidate and targets",
        epilog="example: python fit.py paper reports/runs/host",
    )
    two = subparsers.add_parser(
        "compare",
        help="print what differs between two runs",
        epilog="example: python fit.py compare RUN_A RUN_B",
    )
    two.add_argument("one", type=Path, metavar="A")
    two.add_argument("other", type=Path, metavar="B")
    gated = subparsers.add_parser(
        "gate",
        help="exit 1 if a target got worse",
        epilog="example: python fit.py gate RUN --baseline FILE.json",
    )
    gated.add_argument("--baseline", type=Path, required=True)
    default = Tolerances()
    kinds = {"size": "share", "points": "points", "time": "share", "instructions": "share"}
    for name, unit in kinds.items():
        gated.add_argument(
            f"--tolerance-{name}",
            type=_share,
            default=getattr(default, name),
            metavar=unit.upper(),
            help="default %(default)s",
        )
    made = subparsers.add_parser(
        "baseline",
        help="make a baseline of a run",
        epilog="example: python fit.py baseline RUN --out FILE.json",
    )
    made.add_argument("--out", type=Path, required=True)
    drawn = subparsers.add_parser(
        "frontier",
        help="draw size against drop, of many runs",
        epilog="example: python fit.py frontier RUN --csv FILE.csv",
    )
    drawn.add_argument("folder", type=Path, nargs="*", help="none: draw what the file has")
    drawn.add_argument("--csv", type=Path, required=True, metavar="FILE", help="lines are updated")
    drawn.add_argument("--plot", type=Path, metavar="SVG", help="drawn again (group docs)")
    drawn.add_argument("--name", help="call the checkpoint of these runs so")
    for parser in (check, show, paper, gated, made):
        parser.add_argument("folder", metavar="RUN", type=Path, help="verdicts.json or its folder")
    commands = (check, _check), (show, _show), (paper, _paper), (two, _compare), (gated, _gate)
    for parser, function in (*commands, (made, _baseline), (drawn, _frontier)):
        parser.set_defaults(run=function)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError("a tolerance is a finite number from 0 up")
    return value


def _check(options: argparse.Namespace) -> int:
    run = aggregate.read(options.folder)
    print(f"{options.folder}: consistent, {len(run['targets'])} targets")
    return 0


def _show(options: argparse.Namespace) -> int:
    run = aggregate.read(options.folder)
    print(table.markdown(run) if options.markdown else table.terminal(run))
    return 0


def _paper(options: argparse.Namespace) -> int:
    print(table.paper(aggregate.read(options.folder)))
    return 0


def _compare(options: argparse.Namespace) -> int:
    print(compare(aggregate.read(options.one), aggregate.read(options.other)))
    return 0


def _baseline(options: argparse.Namespace) -> int:
    write_baseline(aggregate.read(options.folder), options.out)
    print(f"baseline: {options.out}")
    return 0


def _gate(options: argparse.Namespace) -> int:
    run = aggregate.read(options.folder)
    tolerances = Tolerances(
        options.tolerance_size,
        options.tolerance_points,
        options.tolerance_time,
        options.tolerance_instructions,
    )
    baseline = read_baseline(options.baseline)
    findings = gate(run, baseline, tolerances)
    regressions = sum(finding.regression for finding in findings)
    print(*findings, sep="\n", end="\n" if findings else "")
    print(
        f"{len(baseline['targets'])} targets of the baseline, {len(run['targets'])} of the run: "
        f"{regressions} regressions (tolerances: {tolerances.size:.1%} of the bytes, "
        f"{tolerances.points} points, {tolerances.time:.0%} of the time ratio, "
        f"{tolerances.instructions:.0%} of the instructions)"
    )
    return 1 if regressions else 0


def _frontier(options: argparse.Namespace) -> int:
    judged = [
        line
        for run in options.folder
        for line in pareto.lines_of(aggregate.read(run), options.name)
    ]
    lines = pareto.updated(pareto.read(options.csv), judged)
    write_text(options.csv, pareto.to_csv(lines))
    print(f"{len(judged)} judged, {len(lines)} in all: {options.csv}")
    if options.plot:
        from reports.pareto_plot import plot

        plot(lines, options.plot)
        print(options.plot)
    print(*pareto.told(lines), sep="\n")
    return 0
