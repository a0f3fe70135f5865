"""What a runtime takes is asked of it, and a file that it would refuse is told beforehand."""

import json
import sys
from pathlib import Path

import pytest

from devices import operators
from devices.__main__ import main
from devices.errors import DeviceError
from devices.provision import RUNTIMES, python_for
from models.store import Store


def test_a_version_that_is_too_new_is_named_with_where_the_runtime_stops() -> None:
    needed = ["ADD v1", "FULLY_CONNECTED v12", "STABLEHLO_COMPOSITE v1"]
    assert operators.refused(needed, "ai-edge-litert==2.3.0") == []
    assert operators.refused(needed, "tflite-runtime==2.14.0") == [
        "FULLY_CONNECTED v12; tflite-runtime==2.14.0 stops at v10",
        "STABLEHLO_COMPOSITE v1; tflite-runtime==2.14.0 has no such operator",
    ]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_table_is_what_the_runtime_says(runtime: str, runtimes_store: Path) -> None:
    table = json.loads(operators.TABLE.read_text())
    found = operators.probe(runtime, [str(python_for(runtime, runtimes_store))])
    assert found == table[RUNTIMES[runtime].requirements[0]]
    assert len(found) > 100


@pytest.fixture(scope="module")
def runtimes_store(store: Store) -> Path:
    return store.root


def test_a_release_that_was_not_probed_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(operators, "TABLE", tmp_path / "operators.json")
    with pytest.raises(DeviceError, match="python -m devices probe"):
        operators.refused(["ADD v1"], "ai-edge-litert==2.3.0")


def test_a_python_without_the_runtime_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeviceError, match=r"No module named 'tflite_runtime'"):
        operators.probe("tflite-runtime", [sys.executable])
    with pytest.raises(SystemExit):
        main(["prove"])
    assert "invalid choice" in capsys.readouterr().err
