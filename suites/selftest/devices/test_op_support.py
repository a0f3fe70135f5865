"""What a runtime takes is asked of it, and a file that it would refuse is told beforehand."""

import json
import sys
from pathlib import Path

import pytest

from common.cache import Cache
from devices import op_support
from devices.environments import python_for
from devices.errors import DeviceError
from devices.runtimes import RUNTIMES
from fit import main


def test_a_version_that_is_too_new_is_named_with_where_the_runtime_stops() -> None:
    needed = ["ADD v1", "FULLY_CONNECTED v12", "STABLEHLO_COMPOSITE v1"]
    assert op_support.refused(needed, "ai-edge-litert==2.3.0") == []
    assert op_support.refused(needed, "tflite-runtime==2.14.0") == [
        "FULLY_CONNECTED v12; tflite-runtime==2.14.0 stops at v10",
        "STABLEHLO_COMPOSITE v1; tflite-runtime==2.14.0 has no such operator",
    ]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_table_is_what_the_runtime_says(runtime: str, runtimes_cache: Path) -> None:
    table = json.loads(op_support.TABLE.read_text())
    found = op_support.probe(runtime, [str(python_for(runtime, runtimes_cache))])
    assert found == table[RUNTIMES[runtime].requirements[0]]
    assert len(found) > 100


@pytest.fixture(scope="module")
def runtimes_cache(cache: Cache) -> Path:
    return cache.root


def test_a_release_that_was_not_probed_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(op_support, "TABLE", tmp_path / "operators.json")
    with pytest.raises(DeviceError, match=r"python fit\.py probe"):
        op_support.refused(["ADD v1"], "ai-edge-litert==2.3.0")


def test_a_python_without_the_runtime_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeviceError, match=r"No module named 'tflite_runtime'"):
        op_support.probe("tflite-runtime", [sys.executable])
    with pytest.raises(SystemExit):
        main(["prove"])
    assert "invalid choice" in capsys.readouterr().err
