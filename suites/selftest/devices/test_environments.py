"""Each runtime gets an environment of its own, once, and a failure says what to do."""

from pathlib import Path

import pytest

from devices import environments, pins
from devices.environments import python_for
from devices.errors import NoRuntimeError, ProvisionError
from devices.runtimes import RUNTIMES

CACHE = Path(__file__).parents[3] / ".cache"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pyproject.toml whose groups need nothing, so that no network is needed."""
    path = tmp_path / "pyproject.toml"
    path.write_text('[dependency-groups]\nai-edge-litert = ["pip"]\ntflite-runtime = ["pip"]\n')
    monkeypatch.setattr(pins, "PROJECT", path)
    return path


def test_the_pins_are_the_project_s() -> None:
    assert "ai-edge-litert==2.3.0" in RUNTIMES["ai-edge-litert"].requirements
    assert "tflite-runtime==2.14.0" in RUNTIMES["tflite-runtime"].requirements


def test_runtimes_of_one_wheel_share_an_environment() -> None:
    assert python_for("litert-compiled", CACHE) == python_for("ai-edge-litert", CACHE)


def test_a_group_that_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(ProvisionError, match=rf"{project} has no dependency group 'onnxruntime'"):
        _ = RUNTIMES["onnxruntime"].requirements


@pytest.mark.usefixtures("project")
def test_an_environment_is_made_once_and_an_interrupted_one_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = python_for("ai-edge-litert", tmp_path / "cache_dir")
    folder = python.parents[1]
    assert python.is_absolute()
    assert str(folder) in capsys.readouterr().out
    left = folder / "left-behind"
    left.touch()
    assert python_for("ai-edge-litert", tmp_path / "cache_dir") == python
    assert left.exists()
    assert capsys.readouterr().out == ""
    (folder / "ready").unlink()
    python_for("ai-edge-litert", tmp_path / "cache_dir")
    assert not left.exists()


def test_another_pin_is_another_environment(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(command: list[str], **_: object) -> None:
        (Path(command[0]).parents[1] if "pip" in command else Path(command[-1])).mkdir(
            exist_ok=True
        )

    monkeypatch.setattr(environments, "run", pretend)
    before = python_for("ai-edge-litert", tmp_path)
    project.write_text('[dependency-groups]\nai-edge-litert = ["pip", "setuptools"]\n')
    assert python_for("ai-edge-litert", tmp_path) != before


def test_a_failing_pip_is_quoted_and_leaves_nothing_ready(tmp_path: Path, project: Path) -> None:
    project.write_text('[dependency-groups]\nai-edge-litert = ["./no-such-folder"]\n')
    with pytest.raises(ProvisionError, match=r"(?s)no-such-folder.*ERROR.*run again"):
        python_for("ai-edge-litert", tmp_path)
    assert not list(tmp_path.glob("runtimes/*/ready"))


def test_an_unknown_runtime_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match=r"unknown runtime 'onnx'"):
        python_for("onnx", tmp_path)


@pytest.mark.usefixtures("project")
def test_tflite_runtime_says_which_python_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.version_info", (3, 12, 1))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoRuntimeError, match=r"newer than 3\.11.*python3\.11 is on PATH"):
        python_for("tflite-runtime", tmp_path)


@pytest.mark.usefixtures("project")
def test_tflite_runtime_says_which_glibc_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.31"))
    with pytest.raises(NoRuntimeError, match=r"needs glibc 2\.34 or newer, this machine has 2\.31"):
        python_for("tflite-runtime", tmp_path)
