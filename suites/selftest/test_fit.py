"""The command line: every command is listed, and reaches the room that has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fit import GROUPS, ROOMS, main

ROOT = Path(__file__).parents[2]


def test_the_help_lists_every_command_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for group, commands in GROUPS.items():
        assert f"{group}:" in printed
        for name in commands:
            assert f"fit.py {name}" in printed
    assert max(map(len, printed.splitlines())) <= 100


@pytest.mark.parametrize("command", ROOMS)
def test_every_command_has_a_help_of_its_own(command: str) -> None:
    asked = [sys.executable, "fit.py", command, "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert command in done.stdout


def test_an_unknown_command_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distil"]) == 2
    assert "no command 'distil'" in capsys.readouterr().err
