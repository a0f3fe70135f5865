"""The source files that an artifact's key covers."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.imports import PROJECT, closure
from models.tflite import convert


def _write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize(
    "statement",
    [
        "import room.wanted",
        "import room.wanted as other",
        "from room import wanted",
        "from room.wanted import VALUE",
        "from . import wanted",
        "from .wanted import VALUE",
        "def build():\n    from room import wanted",
        "class Tool:\n    def build(self):\n        import room.wanted",
        "try:\n    import room.wanted\nexcept ImportError:\n    pass",
        "if True:\n    pass\nelse:\n    import room.wanted",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import room.wanted",
        "from room import through",
    ],
)
def test_every_form_of_import_is_followed(statement: str, tmp_path: Path) -> None:
    files = {
        "room/__init__.py": "",
        "room/start.py": statement + "\n",
        "room/wanted.py": "VALUE = 1\n",
        "room/through.py": "import room.wanted\n",
        "room/unused.py": "import room.start\n",
    }
    _write(tmp_path, files)
    found = closure(["room.start"], tmp_path)
    assert {"room/__init__.py", "room/start.py", "room/wanted.py"} <= found.keys()
    assert "room/unused.py" not in found


@pytest.mark.parametrize(
    "statement",
    [
        "import json, numpy",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from room import wanted",
        "import typing\nif typing.TYPE_CHECKING:\n    from room import wanted",
        "TEXT = 'import room.wanted'",
    ],
)
def test_what_does_not_run_is_not_followed(statement: str, tmp_path: Path) -> None:
    _write(tmp_path, {"room/start.py": statement + "\n", "room/wanted.py": ""})
    assert list(closure(["room.start"], tmp_path)) == ["room/start.py"]


def test_all_files_of_a_registry_belong_to_it(tmp_path: Path) -> None:
    files = {
        "boards/__init__.py": "import pkgutil\nALL = list(pkgutil.iter_modules(__path__))\n",
        "boards/one.py": "from boards import shared\n",
        "boards/two.py": "import extra\n",
        "boards/shared.py": "",
        "extra.py": "",
        "uses_all.py": "from boards import ALL\n",
        "uses_one.py": "from boards import one\n",
    }
    _write(tmp_path, files)
    assert closure(["uses_all"], tmp_path).keys() == files.keys() - {"uses_one.py"}
    assert closure(["uses_one"], tmp_path).keys() == {
        "boards/__init__.py",
        "boards/one.py",
        "boards/shared.py",
        "uses_one.py",
    }


def test_a_module_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="no module nowhere below"):
        closure(["nowhere"], tmp_path)


def test_the_float32_model_file_depends_on_every_architecture_and_the_layers() -> None:
    """Once a list written by hand named them. An edit of a file that it left out was ignored."""
    found = closure([convert])
    files = {
        f"models/architectures/{f.name}" for f in (PROJECT / "models/architectures").glob("*.py")
    }
    assert len(files) > 2
    assert files <= found.keys()
    assert {"models/tflite/layers.py", "models/tflite/tf_module.py"} <= found.keys()
    others = ("reports/", "fixtures/", "devices/", "suites/", "models/onnx/", "models/modes/")
    assert not [name for name in found if name.startswith(others)]


@pytest.mark.parametrize(
    ("mode", "needs", "does_without"),
    [
        ("int4", "models/tflite/transformations.py", "models/tflite/calibration.py"),
        ("full_integer", "models/tflite/calibration.py", "models/tflite/mixed_precision.py"),
        ("mixed", "models/tflite/mixed_precision.py", "models/tflite/calibration.py"),
    ],
)
def test_a_mode_depends_on_its_own_tool(mode: str, needs: str, does_without: str) -> None:
    found = closure([f"models.modes.{mode}"])
    assert {needs, "models/tflite/quantizer.py", f"models/modes/{mode}.py"} <= found.keys()
    assert does_without not in found
    assert [name for name in found if name.startswith("models/modes/")] == [
        "models/modes/__init__.py",
        f"models/modes/{mode}.py",
    ]
    assert all((PROJECT / name).is_file() for name in found)
