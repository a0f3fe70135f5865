"""Fit for the device: judge a checkpoint, and everything around it.

`python fit.py COMMAND --help` explains a command. `pytest -m host` judges too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import devices.commands
import devices.errors
import fixtures.commands
import models.commands
import models.errors
import reports.commands
from data.dataset import DatasetError
from reports.schema import ReportError

ROOMS = (fixtures.commands, reports.commands, models.commands, devices.commands)
# What the help lists together. A command that is not named here is listed in the last group.
GROUPS = {
    "Judge": (
        "judge",
        "check",
        "show",
        "recommend",
        "report",
        "paper",
        "history",
        "compare",
        "gate",
        "baseline",
        "frontier",
        "opponents",
    ),
    "Models": ("record", "score", "bundle", "export", "mixed", "layers"),
    "Training": ("finetune", "distill", "small"),
    "Devices": ("boards", "probe", "aa", "count", "profile"),
    "House": ("prune", "metrics"),
}
WIDTH = 100
ERRORS: tuple[type[Exception], ...] = (
    DatasetError,
    ReportError,
    *(
        error
        for module in (devices.errors, models.errors)
        for error in vars(module).values()
        if isinstance(error, type) and issubclass(error, Exception)
    ),
)


class Commands:
    """What a room's `register` adds its commands to: argparse's subparsers with a list of them.

    Attributes:
        parsers: the parser of each command, by name.
        purposes: what each command does, in a few words.
    """

    def __init__(self, subparsers: Any) -> None:
        self._subparsers = subparsers
        self.parsers: dict[str, argparse.ArgumentParser] = {}
        self.purposes: dict[str, str] = {}

    def add_parser(
        self, name: str, *, help: str, epilog: str, **given: Any
    ) -> argparse.ArgumentParser:
        """Add a command.

        Args:
            name: what the user types.
            help: what it does, in a few words.
            epilog: "example: python fit.py NAME ..."; further lines may follow.
            given: more arguments of `argparse.ArgumentParser`.
        """
        options = {
            "description": f"{help[0].upper()}{help[1:]}.",
            "formatter_class": argparse.RawDescriptionHelpFormatter,
            **given,
        }
        self.purposes[name] = help
        self.parsers[name] = self._subparsers.add_parser(name, epilog=epilog, **options)
        return self.parsers[name]


def command_line() -> tuple[argparse.ArgumentParser, Commands]:
    """Return the parser of every room's commands, and the commands."""
    parser = argparse.ArgumentParser(
        prog="python fit.py",
        usage="python fit.py COMMAND ...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    title, no_help = "commands", argparse.SUPPRESS
    subparsers = parser.add_subparsers(
        title=title, prog="python fit.py", metavar="COMMAND", help=no_help
    )
    commands = Commands(subparsers)
    for room in ROOMS:
        room.register(commands)
    parser.epilog = "\n\n".join(
        "\n".join([f"{group}:", *(_line(commands, name) for name in names)])
        for group, names in grouped(commands).items()
    )
    return parser, commands


def grouped(commands: Commands) -> dict[str, list[str]]:
    """Return the names of the commands by group."""
    groups = {
        group: [name for name in names if name in commands.parsers]
        for group, names in GROUPS.items()
    }
    named = {name for names in GROUPS.values() for name in names}
    groups[[*groups][-1]] += [name for name in commands.parsers if name not in named]
    return groups


def _line(commands: Commands, name: str) -> str:
    """Return a command's line in the help: what it does, and its example."""
    first = (commands.parsers[name].epilog or "").splitlines()[0]
    example = first.removeprefix("example: python ")
    line = f"  {name:<9} {commands.purposes[name]:<42} {example}"
    if len(line) <= WIDTH:
        return line
    return f"  {name:<9} {commands.purposes[name]}\n  {'':9} {example}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; 2 if what it was given is at fault."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser, _ = command_line()
    if not given:
        parser.print_help()
        return 0
    options, more = parser.parse_known_args(given)
    if more and not getattr(options, "takes_pytest_options", False):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    options.arguments, options.pytest_options = given, more
    try:
        status: int = options.run(options)
    except ERRORS as error:
        fault = str(error)
    except OSError as error:
        fault = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {room.__name__.partition(".")[0] for room in ROOMS} | {"common", "data"}:
            raise  # a file of this project
        group = getattr(options, "environment", "build")
        fault = (
            f"this Python has no {package}; install what `{given[0]}` needs: "
            f"python -m pip install --group {group}"
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    else:
        return status
    print(f"error: {fault}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
