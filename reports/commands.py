"""Commands about verdict files: show, recommend, report, compare, gate, check and others.

Exit status: 0 for no regression, 1 for a regression or a file that does not hold, 2 where nothing
can be decided (a file is missing or damaged, or two runs cannot be compared).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import atomic
from common.argtypes import number
from reports import (
    aggregate,
    formats,
    history,
    metrics,
    operator_profile,
    page,
    pareto,
    submission,
    table,
    why,
)
from reports.compare import compare
from reports.gate import gate, read_baseline, write_baseline
from reports.metrics import Tolerance
from reports.recommend import RULE, recommend
from reports.schema import ReportError, VerdictFile


def register(subparsers: Any) -> None:
    """Add this room's commands; each sets `run`, a function from the options to an exit status."""
    show = subparsers.add_parser(
        "show",
        help="print the table of a run",
        epilog="example: python fit.py show reports/runs/host",
    )
    show.add_argument("file", type=Path, metavar="RUN", help="verdicts.json, or its folder")
    show.add_argument("--markdown", action="store_true", help="print the full report instead")
    show.add_argument("--legend", action="store_true", help="explain the columns")
    show.set_defaults(run=_show)

    advised = subparsers.add_parser(
        "recommend",
        help="say which target to take, and why",
        epilog="example: python fit.py recommend reports/runs/host",
        description=f"Say which target of each device to take. {RULE}",
    )
    advised.add_argument("file", type=Path, metavar="RUN")
    advised.set_defaults(run=_recommend)

    _add_report(subparsers)
    _add_history(subparsers)

    paper = subparsers.add_parser(
        "paper",
        help="print the tables of a paper",
        epilog="example: python fit.py paper reports/runs/host",
    )
    paper.add_argument("file", type=Path, metavar="RUN")
    paper.set_defaults(run=_paper)

    two = subparsers.add_parser(
        "compare",
        help="print what differs between two runs",
        epilog="example: python fit.py compare RUN_A RUN_B",
    )
    two.add_argument("one", type=Path, metavar="A")
    two.add_argument("other", type=Path, metavar="B")
    two.set_defaults(run=_compare)

    gated = subparsers.add_parser(
        "gate",
        help="exit 1 if a target got worse",
        epilog="example: python fit.py gate RUN --baseline FILE.json",
    )
    gated.add_argument("file", type=Path, metavar="RUN")
    gated.add_argument("--baseline", type=Path, required=True, metavar="FILE")
    gated.add_argument(
        "--tolerance",
        type=_tolerance,
        action="append",
        default=[],
        metavar="KEY=AMOUNT",
        help="allow so much of a metric (size_bytes=0.01); `metrics` prints the defaults",
    )
    gated.set_defaults(run=_gate)

    made = subparsers.add_parser(
        "baseline",
        help="make a baseline of a run",
        epilog="example: python fit.py baseline RUN --out FILE.json",
    )
    made.add_argument(
        "files", type=Path, nargs="+", metavar="RUN", help="of several, times are their median"
    )
    made.add_argument("--out", type=Path, required=True, metavar="FILE")
    made.set_defaults(run=_baseline)

    frontier = subparsers.add_parser(
        "frontier",
        help="size against drop, of many runs",
        epilog="example: python fit.py frontier RUN --csv FILE.csv",
    )
    frontier.add_argument("files", type=Path, nargs="*", metavar="RUN", help="none: draw the CSV")
    frontier.add_argument("--csv", type=Path, required=True, metavar="FILE", help="is updated")
    frontier.add_argument("--plot", type=Path, metavar="SVG", help="is drawn again (group docs)")
    frontier.add_argument("--name", help="name of the checkpoint of these runs")
    frontier.set_defaults(run=_frontier)

    checked = subparsers.add_parser(
        "check",
        help="check verdict files that others made",
        epilog="example: python fit.py check reports/runs",
    )
    checked.add_argument("path", type=Path, metavar="FILE|FOLDER")
    checked.set_defaults(run=_check)

    listed = subparsers.add_parser(
        "metrics",
        help="print the table of metrics, in Markdown",
        epilog="example: python fit.py metrics",
    )
    listed.set_defaults(run=_metrics)


def _add_report(subparsers: Any) -> None:
    drawn = subparsers.add_parser(
        "report",
        help="write a run's page, or a file for another tool",
        epilog="example: python fit.py report reports/runs/host",
        description="Write the page of one or several runs from their verdict files alone, or a "
        "file of another format. github prints annotations, and adds to the job summary where "
        "GITHUB_STEP_SUMMARY names one.",
    )
    drawn.add_argument("files", type=Path, nargs="+", metavar="RUN")
    drawn.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: beside the first verdict file, named by its format",
    )
    drawn.add_argument("--format", choices=["html", *formats.FORMATS, "github"], default="html")
    drawn.add_argument(
        "--profile",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="show where the time goes, of what `profile --out` wrote (repeatable)",
    )
    drawn.add_argument(
        "--errors",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="show where the error comes from, of what `layers --out` wrote (repeatable)",
    )
    drawn.add_argument("--picture", type=Path, metavar="PNG", help="photograph its top (chromium)")
    drawn.set_defaults(run=_report, environment="board")


def _add_history(subparsers: Any) -> None:
    past = subparsers.add_parser(
        "history",
        help="keep runs, and show what changed",
        epilog="example: python fit.py history add reports/runs/host",
        description="Keep verdict files in a folder, and write a page of all of them: a line for "
        "each target and metric, with the changes of level.",
    )
    past.add_argument("what", choices=["add", "show"])
    past.add_argument("file", type=Path, nargs="?", metavar="RUN", help="what is added")
    past.add_argument(
        "--history",
        type=Path,
        default=history.FOLDER,
        metavar="DIR",
        help=f"the folder (default: {history.FOLDER})",
    )
    past.add_argument("--commit", metavar="SHA", help="what was judged (default: git's HEAD)")
    past.add_argument("--out", type=Path, metavar="FILE", help="the page (default: in the folder)")
    past.set_defaults(run=_history, environment="board")


def _tolerance(text: str) -> tuple[str, Tolerance]:
    key, equals, amount = text.partition("=")
    metric = metrics.gated().get(key)
    if metric is None or metric.tolerance is None or not equals:
        known = [key for key, gated in metrics.gated().items() if gated.tolerance]
        raise argparse.ArgumentTypeError(f"{text}: KEY=AMOUNT, KEY one of {', '.join(known)}")
    try:
        return key, replace(metric.tolerance, amount=number(float, 0)(amount))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {amount!r} is no number") from error


def _show(options: argparse.Namespace) -> int:
    run = aggregate.read(options.file)
    print(table.markdown(run) if options.markdown else table.terminal(run, options.legend))
    return 0


def _recommend(options: argparse.Namespace) -> int:
    for found in recommend(aggregate.read(options.file)["targets"]):
        print(*(table.wrapped(line) for line in found.lines()), sep="\n")
    reasons = why.sentences(aggregate.read(options.file)["targets"])
    print(*(table.wrapped(line) for line in (*reasons, RULE)), sep="\n")
    return 0


def _report(options: argparse.Namespace) -> int:
    runs = [aggregate.read(file) for file in options.files]
    if options.format == "github":
        return _github(runs)
    profiles = [operator_profile.read(file) for file in options.profile]
    errors = [operator_profile.read_errors(file) for file in options.errors]
    pages = (page.NAME, lambda found: page.render(found, profiles, errors))
    name, render = formats.FORMATS.get(options.format, pages)
    first = options.files[0]
    out = options.out or (first if first.is_dir() else first.parent) / name
    if out.suffix != Path(name).suffix:
        raise ReportError(f"--out {out}: name a file that ends in {Path(name).suffix}")
    atomic.write_text(out, render(runs))
    print(f"{'page' if name == page.NAME else options.format}: {out}")
    if options.picture:
        page.photograph(out, options.picture)
        print(f"picture: {options.picture}")
    return 0


def _github(runs: Sequence[VerdictFile]) -> int:
    print(formats.github(runs), end="")
    if file := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(file).open("a") as out:  # other steps have written there
            out.write(formats.summary(runs))
        print(f"summary: {file}")
    return 0


def _history(options: argparse.Namespace) -> int:
    if (options.what == "add") != (options.file is not None):
        raise ReportError("history: `add RUN` adds a run, and `show` shows all of them")
    if options.what == "add":
        kept, is_new = history.add(options.file, options.history, options.commit)
        print(f"{'added' if is_new else 'there already'}: {kept}")
        return 0
    entries = history.read(options.history)
    out = options.out or options.history / history.NAME
    atomic.write_text(out, history.render(entries))
    for one in history.series(entries):
        print(*(table.wrapped(history.sentence(change, one)) for change in one.changes), sep="\n")
    print(f"{len(entries)} runs; page: {out}")
    return 0


def _paper(options: argparse.Namespace) -> int:
    print(table.paper(aggregate.read(options.file)))
    return 0


def _compare(options: argparse.Namespace) -> int:
    print(compare(aggregate.read(options.one), aggregate.read(options.other)))
    return 0


def _gate(options: argparse.Namespace) -> int:
    run, baseline = aggregate.read(options.file), read_baseline(options.baseline)
    findings = gate(run, baseline, dict(options.tolerance))
    regressions = sum(finding.regression for finding in findings)
    print(*findings, sep="\n", end="\n" if findings else "")
    print(
        f"{len(baseline['targets'])} targets of the baseline, {len(run['targets'])} of the run: "
        f"{regressions} regressions"
    )
    return 1 if regressions else 0


def _baseline(options: argparse.Namespace) -> int:
    write_baseline([aggregate.read(file) for file in options.files], options.out)
    print(f"baseline: {options.out}")
    return 0


def _frontier(options: argparse.Namespace) -> int:
    judged = [
        line for run in options.files for line in pareto.lines_of(aggregate.read(run), options.name)
    ]
    lines = pareto.updated(pareto.read(options.csv), judged)
    atomic.write_text(options.csv, pareto.to_csv(lines))
    print(f"{len(judged)} judged, {len(lines)} in all: {options.csv}")
    if options.plot:
        from reports.pareto_plot import plot

        plot(lines, options.plot)
        print(options.plot)
    print(*pareto.summary(lines), sep="\n")
    return 0


def _check(options: argparse.Namespace) -> int:
    submissions = submission.check(options.path)
    print(submission.report(submissions))
    return 1 if any(found.faults for found in submissions) else 0


def _metrics(options: argparse.Namespace) -> int:
    print(metrics.reference())
    return 0
