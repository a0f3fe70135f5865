"""action.yml: its steps run as they are written, with the commands that they call written down."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fit import command_line

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "run" in step}
GIVEN = {"checkpoint": "models/mine", "dataset": "org/data", "modes": "int4 dynamic_range"}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A stranger's repository, and an action's folder in which each command writes itself down."""
    (tmp_path / "repository/models/mine").mkdir(parents=True)
    for name in ("bin/python", "bin/tox", "action/.tox/judge/bin/python"):
        stub = tmp_path / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(f'#!/bin/sh\nprintf "%s\\n" {stub.name} "$@" END >> "{tmp_path}/said"\n')
        stub.chmod(0o755)
    return tmp_path


def _value(expression: str, workspace: Path, inputs: dict[str, str]) -> str:
    known = {
        "github.workspace": str(workspace / "repository"),
        "github.action_path": str(workspace / "action"),
    }
    known |= {f"inputs.{name}": value for name, value in inputs.items()}
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda match: known[match[1]], expression)


def _run(name: str, workspace: Path, **inputs: str) -> list[list[str]]:
    """Run a step; return the commands that it called."""
    step: Any = STEPS[name]
    defaults = {key: str(one.get("default", "")) for key, one in ACTION["inputs"].items()}
    given = defaults | GIVEN | inputs
    env = {key: _value(text, workspace, given) for key, text in step["env"].items()}
    subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]],
        cwd=_value(step["working-directory"], workspace, given),
        env=env
        | {
            "PATH": f"{workspace / 'bin'}:{os.environ['PATH']}",
            "GITHUB_WORKSPACE": str(workspace / "repository"),
        },
        check=True,
    )
    said = (workspace / "said").read_text().split("\nEND\n")
    return [one.split("\n") for one in said if one.strip()]


def test_it_judges_what_the_repository_names(workspace: Path) -> None:
    tox = _run("Judge", workspace, options="--preset smoke")[-1]
    repository = workspace / "repository"
    assert tox[:4] == ["tox", "run", "-e", "judge"]
    rest = [part for part in tox[4:] if part != "--"]
    assert rest[:3] == [str(repository / "models/mine"), "--dataset", "org/data"]
    options, more = command_line()[0].parse_known_args(["judge", *rest])
    assert options.markers == "host"
    assert options.report_dir == repository / "fit-report"
    assert more == ["--mode", "int4", "--mode", "dynamic_range", "--preset", "smoke"]


@pytest.mark.parametrize(("name", "command"), [("Show the verdicts", "report"), ("Gate", "gate")])
def test_its_other_steps_are_commands_of_this_project(
    name: str, command: str, workspace: Path
) -> None:
    (python,) = _run(name, workspace, baseline="baseline.json")
    assert python[:3] == ["python", "fit.py", command]
    options, more = command_line()[0].parse_known_args(python[2:])
    assert not more
    if command == "gate":
        assert options.baseline == workspace / "repository/baseline.json"
    assert str(workspace / "repository/fit-report") in python


def test_the_docs_show_a_workflow_that_uses_it() -> None:
    text = (ROOT / "docs/how-to/gate-in-ci.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    workflow = yaml.safe_load(block)
    (job,) = workflow["jobs"].values()
    used = job["steps"][-1]["with"]
    assert used.keys() <= ACTION["inputs"].keys()
    needed = {name for name, one in ACTION["inputs"].items() if one.get("required")}
    assert needed <= used.keys()
