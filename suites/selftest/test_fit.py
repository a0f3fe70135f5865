"""The command line: every command is listed, runs with what it needs, and fails in one sentence."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devices.errors import DeviceError
from fit import GROUPS, WIDTH, Commands, command_line, grouped, main

ROOT = Path(__file__).parents[2]
COMMANDS = command_line()[1]

# Nothing but the standard library and this project can be imported.
WITHOUT_PACKAGES = """
import sys

OWN = {"fit", "common", "data", "models", "devices", "reports", "fixtures"}


class OnlyStandardLibrary:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in OWN:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)


sys.meta_path.insert(0, OnlyStandardLibrary())
import fit

sys.exit(fit.main(sys.argv[1:]))
"""


def run_without_packages(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGES, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def test_the_help_lists_every_command_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    printed = capsys.readouterr().out
    for group, names in grouped(COMMANDS).items():
        assert f"\n{group}:\n" in printed
        for name in names:
            assert f"\n  {name:<9} {COMMANDS.purposes[name]}" in printed
            assert f" fit.py {name}" in printed
    assert max(map(len, printed.splitlines())) <= WIDTH


def test_the_reference_page_lists_the_commands_of_each_group() -> None:
    page = (ROOT / "docs/reference/command-line.md").read_text()
    for group, names in grouped(COMMANDS).items():
        section = page.partition(f"\n## {group}\n")[2].partition("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.M) == list(names), group


def test_no_command_at_all_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "fit.py record" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS.parsers)
def test_every_command_explains_itself_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    printed = capsys.readouterr().out
    assert f"usage: python fit.py {name}" in printed
    assert f"example: python fit.py {name}" in printed
    assert callable(COMMANDS.parsers[name].get_default("run")), "an option overwrites what it runs"


def test_a_command_of_no_group_is_listed_last() -> None:
    commands = Commands(argparse.ArgumentParser().add_subparsers())
    commands.add_parser("gate", help="known", epilog="example: python fit.py gate")
    commands.add_parser("new", help="a room's new one", epilog="example: python fit.py new")
    groups = grouped(commands)
    assert groups.pop([*GROUPS][-1]) == ["new"]
    assert [name for names in groups.values() for name in names] == ["gate"]


def test_the_help_needs_only_the_standard_library() -> None:
    done = run_without_packages("--help")
    assert done.returncode == 0, done.stderr
    assert "fit.py gate" in done.stdout


@pytest.mark.parametrize("name", COMMANDS.parsers)
def test_a_command_needs_only_the_standard_library_to_explain_itself(name: str) -> None:
    done = run_without_packages(name, "--help")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["gate", "compare", "show", "check"])
def test_reports_are_read_with_only_the_standard_library(name: str, tmp_path: Path) -> None:
    """A missing file is refused by the command itself, so nothing that it imports was missing."""
    missing = str(tmp_path / "missing")
    more = {"gate": ["--baseline", missing], "compare": [missing]}.get(name, [])
    done = run_without_packages(name, missing, *more)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {missing}"), done.stderr


def test_a_missing_package_is_one_sentence() -> None:
    done = run_without_packages("record", "runs/mine")
    assert done.returncode == 2
    assert "pip install --group train" in done.stderr
    assert "Traceback" not in done.stderr
    assert "--group build --group train" in run_without_packages("judge", "runs/mine").stderr
    assert "--group build" in run_without_packages("bundle", "--out", "some.zip").stderr


@pytest.mark.parametrize(
    ("error", "printed"),
    [
        (DeviceError("unknown device 'pi6'"), "error: unknown device 'pi6'\n"),
        (FileNotFoundError(2, "No such file", "a.json"), "error: a.json: No such file\n"),
    ],
)
def test_an_error_is_one_sentence(
    error: Exception,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> str:
        raise error

    monkeypatch.setattr("devices.commands.boards_table", fail)
    assert main(["boards"]) == 2
    assert capsys.readouterr().err == printed


def test_a_fault_of_this_project_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise ModuleNotFoundError("no models.typo", name="models.typo")

    monkeypatch.setattr("devices.commands.boards_table", fail)
    with pytest.raises(ModuleNotFoundError):
        main(["boards"])


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["distil"])
    assert "invalid choice: 'distil'" in capsys.readouterr().err


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """`judge` alone passes on what it does not know."""
    with pytest.raises(SystemExit, match="2"):
        main(["record", "runs/mine", "--preset", "smoke"])
    assert "unrecognized arguments: --preset smoke" in capsys.readouterr().err


def test_an_unknown_mode_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["layers", "runs/mine", "--mode", "int3"])
    assert "unknown mode 'int3'; there are float32" in capsys.readouterr().err
