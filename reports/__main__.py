"""Command line: show, compare and gate verdict files, make baselines and the frontier.

Exit status: 0 no regression, 1 regression, 2 nothing valid to say (missing or unreadable file, no
case in common, an invalid case).
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from reports import aggregate, pareto, table
from reports.compare import compare
from reports.gate import Tolerances, gate, read_baseline, write_baseline
from reports.schema import ReportError, write_text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="the table of a run")
    show.add_argument("run", type=Path, help="verdicts.json, or the folder it is in")
    show.add_argument("--markdown", action="store_true")
    paper = commands.add_parser("paper", help="references, candidate and targets, as a paper would")
    paper.add_argument("run", type=Path)
    two = commands.add_parser("compare", help="what differs between two runs")
    two.add_argument("one", type=Path, metavar="A")
    two.add_argument("other", type=Path, metavar="B")
    gated = commands.add_parser("gate", help="exit 1 if a target is worse than the baseline")
    gated.add_argument("run", type=Path)
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
    made = commands.add_parser("baseline", help="make a baseline of a run")
    made.add_argument("run", type=Path)
    made.add_argument("--out", type=Path, required=True)
    drawn = commands.add_parser("frontier", help="size against drop, of many runs")
    drawn.add_argument("run", type=Path, nargs="*", help="none: draw what the file has")
    drawn.add_argument("--csv", type=Path, required=True, metavar="FILE", help="lines are updated")
    drawn.add_argument("--plot", type=Path, metavar="SVG", help="drawn again (group docs)")
    drawn.add_argument("--name", help="call the checkpoint of these runs so")
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError("a tolerance is a finite number from 0 up")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except ReportError as error:
        print(f"INVALID: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    if options.command == "compare":
        print(compare(aggregate.read(options.one), aggregate.read(options.other)))
        return 0
    if options.command == "frontier":
        return _frontier(options)
    run = aggregate.read(options.run)
    if options.command == "show":
        print(table.markdown(run) if options.markdown else table.terminal(run))
        return 0
    if options.command == "paper":
        print(table.paper(run))
        return 0
    if options.command == "baseline":
        write_baseline(run, options.out)
        print(f"baseline: {options.out}")
        return 0
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
        line for run in options.run for line in pareto.lines_of(aggregate.read(run), options.name)
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


if __name__ == "__main__":
    sys.exit(main())
