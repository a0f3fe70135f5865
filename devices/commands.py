"""Commands of `fit.py` that ask runtimes, emulated boards and the statistic."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from devices import op_support
from devices.errors import DeviceError
from devices.profile import profile, profiles
from devices.runtimes import DEFAULT, RUNTIMES


def register(subparsers: Any) -> None:
    """Add this room's commands."""
    boards = subparsers.add_parser(
        "boards",
        help="print the table of boards",
        epilog="example: python fit.py boards",
    )
    boards.set_defaults(run=_boards)
    probe = subparsers.add_parser(
        "probe",
        help="write which operators each runtime takes",
        epilog="example: python fit.py probe",
    )
    probe.add_argument("--out", type=Path, default=op_support.TABLE)
    probe.set_defaults(run=_probe)
    alike = subparsers.add_parser(
        "aa",
        help="time a model file against itself",
        epilog="example: python fit.py aa MODEL TOKENIZER TEXTS",
    )
    cost = subparsers.add_parser(
        "count",
        help="count instructions on emulated boards",
        epilog="example: python fit.py count MODEL TOKENIZER --device pi4",
    )
    for command in (alike, cost):
        command.add_argument("model_file", type=Path)
        command.add_argument("tokenizer", type=Path, help="its tokenizer.json")
        command.add_argument("--label", action="append", help="one for each class (default: three)")
        command.add_argument("--runtime", type=_runtime, default=DEFAULT[0])
    alike.add_argument("texts", type=_texts, help="a file with a text a line")
    alike.add_argument("--threads", type=int, default=1)
    alike.add_argument("--times", type=_count, default=20)
    alike.add_argument("--slow-down", type=float, default=0.1, help="the planted share (0.1)")
    alike.set_defaults(run=_same)
    cost.add_argument("--device", action="append", required=True, help="a board (repeatable)")
    cost.add_argument("--tokens", type=int, help="only up to the length that takes so many")
    cost.set_defaults(run=_instructions)
    for command in (probe, alike, cost):
        command.add_argument("--cache-dir", type=Path, default=Path(".cache"))


def _runtime(name: str) -> str:
    if name not in RUNTIMES:
        raise argparse.ArgumentTypeError(
            f"unknown runtime {name!r}; there are {', '.join(RUNTIMES)}"
        )
    return name


def _boards(_: argparse.Namespace) -> int:
    print(boards_table())
    return 0


def _probe(args: argparse.Namespace) -> int:
    from devices.boards import emulation
    from devices.environments import python_for

    table: dict[str, dict[str, int]] = {}
    for name, runtime in RUNTIMES.items():
        if (release := runtime.requirements[0]) not in table:
            table[release] = op_support.probe(name, [str(python_for(name, args.cache_dir))])
    # What else boards have: the same binaries, but for the machine that they are of.
    emulated = emulation.command(profile("pi4"), args.cache_dir)
    for name in filter(emulation.has, RUNTIMES):
        if (release := emulation.release(name)) not in table:
            table[release] = op_support.probe(name, emulated)
    args.out.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for release, taken in table.items():
        print(f"{release}: {len(taken)} operators")
    print(f"written: {args.out}")
    return 0


def boards_table() -> str:
    """Return the profiles as a table in Markdown."""
    headings = (
        *("device", "board", "usual image", "glibc", "Python", "runtimes that install there"),
        *("p90 (ms)", "memory (MB)", "energy (J a text)"),
    )
    rows: list[tuple[str, ...]] = [headings, ("---",) * 6 + ("---:",) * 3]
    for name, board in profiles().items():
        image, budget = board.image, board.budget
        system = (image.os, image.glibc, image.python) if image else ("–",) * 3
        runtimes = [r.name for r in RUNTIMES.values() if image and r.installs_on(image)]
        named = ", ".join(runtimes) or ("none" if image else "as it has them")
        demanded = [budget.latency_ms, budget.memory_mb, budget.energy_j]
        figures = ("–" if figure is None else f"{figure:g}" for figure in demanded)
        rows.append((f"`{name}`", board.description, *system, named, *figures))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{count}: at least 1")
    return count


def _texts(file: str) -> list[str]:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{file}: {error}") from error
    if not (dataset := [line for line in lines if line.strip()]):
        raise argparse.ArgumentTypeError(f"{file}: no text in it, one a line")
    return dataset


def _same(args: argparse.Namespace) -> int:
    """Print each comparison; 1 unless alike is told apart at most once in twenty times, and what is
    planted missed at most once in twenty."""
    from devices.boards.board import this_machine
    from devices.measurement import aa_test

    labels = args.label or ["negative", "neutral", "positive"]
    board = this_machine("host", args.cache_dir)
    allowed = args.times // 20
    kept = True
    for planted in (0.0, args.slow_down):
        apart = unfit = 0
        for number, found in enumerate(
            aa_test.compare(
                board,
                (args.model_file, args.tokenizer),
                labels,
                args.texts,
                runtime=args.runtime,
                threads=args.threads,
                times=args.times,
                slow_down=planted,
            ),
            start=1,
        ):
            apart += found.differs
            unfit += found.fault is not None
            ratio = found.ratio
            print(
                f"{planted:.0%} planted, {number:2}: {ratio.value:.3f} "
                f"[{ratio.lower:.3f}, {ratio.upper:.3f}] {'APART' if found.differs else 'alike'}"
                f"{f'; disturbed: {found.fault}' if found.fault else ''}",
                flush=True,
            )
        holds = args.times - apart <= allowed if planted else apart <= allowed
        kept = kept and holds and not unfit
        print(
            f"{planted:.0%} planted: told apart {apart} of {args.times} times"
            f"{f'; INVALID: {unfit} disturbed' if unfit else '' if holds else '; NOT KEPT'}"
        )
    return 0 if kept else 1


def _instructions(args: argparse.Namespace) -> int:
    """Print a line a board and length. What a time is, it says: projected."""
    from devices.measurement.instruction_count import instructions
    from devices.measurement.projection import by_instructions

    labels = args.label or ["negative", "neutral", "positive"]
    for device in args.device:
        board = profile(device)
        counted = instructions(
            board,
            args.runtime,
            args.cache_dir,
            model_file=args.model_file,
            tokenizer=args.tokenizer,
            label_names=labels,
            tokens=args.tokens,
        )
        for length, count in counted.instructions.items():
            try:
                time = by_instructions(board, count)
                projected = f"projected {1000 * time.lower:.0f} to {1000 * time.upper:.0f} ms"
            except DeviceError as error:
                projected = str(error)
            print(
                f"{device} {args.runtime} {length} tokens: {count / 1e6:.1f} M instructions, "
                f"{projected}"
            )
        print(
            f"{device}: two counts of {min(counted.instructions)} tokens differ by "
            f"{counted.spread:.3%}",
            flush=True,
        )
    return 0
