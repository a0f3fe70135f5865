"""Energy is what the meters' numbers come to, and a meter that says too little says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from devices.boards.detection import reader
from devices.client import Timings
from devices.errors import EnergyError
from devices.measurement import energy
from fixtures import measurement

RAPL = {
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "10000000\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:1/name": "package-1\n",
    "sys/class/powercap/intel-rapl:1/energy_uj": "262143000000\n",
    "sys/class/powercap/intel-rapl:1/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:2/name": "psys\n",
    "sys/class/powercap/intel-rapl:2/energy_uj": "5\n",
}
INA = {
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon2/name": "ina219\n",
    "sys/class/hwmon/hwmon2/power1_input": "3100000\n",
}
JETSON = {"sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/in_power0_input": "2503\n"}


def lay_out(root: Path, files: dict[str, str]) -> energy.Meter | None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return energy.find(reader(root))


def test_energy_counters_are_summed_over_packages_and_wrap(tmp_path: Path) -> None:
    meter = lay_out(tmp_path, RAPL)
    assert meter is not None
    assert meter.name == "RAPL, CPU packages"
    assert len(meter.files) == 2, "psys is the packages and more: it would count twice"
    # 4 J by the first; the second is 0.33 J from its end, and goes 1 J further.
    readings = [(0.0, ["10000000", "262143000000"]), (2.0, ["14000000\n", "671150"])]
    assert energy.joules(meter, readings) == pytest.approx(4 + 1, abs=1e-4)


@pytest.mark.parametrize(
    ("files", "texts"), [(INA, ("3000000", "5000000")), (JETSON, ("3000", "5000"))]
)
def test_power_is_integrated_over_time(
    tmp_path: Path, files: dict[str, str], texts: tuple[str, str]
) -> None:
    meter = lay_out(tmp_path, files)
    assert meter is not None
    lower, upper = texts
    # 3 W for a second, up to 5 W within half a second, and 5 W for half a second.
    readings = [(0.0, [lower]), (1.0, [lower]), (1.5, [upper]), (2.0, [upper])]
    assert energy.joules(meter, readings) == pytest.approx(3 + 2 + 2.5)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {**RAPL, "sys/class/powercap/intel-rapl:1/energy_uj": ""},  # since 2020 for root alone
        {"sys/class/hwmon/hwmon0/name": "cpu_thermal\n"},
    ],
)
def test_a_board_without_a_readable_meter_has_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert lay_out(tmp_path, files) is None


@pytest.mark.parametrize("files", [RAPL, INA, JETSON])
def test_a_dead_meter_is_no_zero(tmp_path: Path, files: dict[str, str]) -> None:
    meter = lay_out(tmp_path, files)
    assert meter is not None
    text = "7" if meter.wraps else "0"
    readings = [(at, [text] * len(meter.files)) for at in (0.0, 1.0, 2.0)]
    with pytest.raises(EnergyError, match="measured 0 J, and no board runs on nothing"):
        energy.joules(meter, readings)


@pytest.mark.parametrize("readings", [[], [(0.0, ["1"])], [(0.0, ["1"]), (1.0, [None])]])
def test_a_meter_that_falls_silent_is_no_zero(tmp_path: Path, readings: energy.Readings) -> None:
    meter = lay_out(tmp_path, INA)
    assert meter is not None
    with pytest.raises(EnergyError):
        energy.joules(meter, readings)


# An external meter


def log(path: Path, rows: Sequence[tuple[object, object]], header: str = "timestamp,watts") -> Path:
    path.write_text("\n".join([header, *(f"{at},{watts}" for at, watts in rows)]) + "\n")
    return path


def test_a_log_is_integrated_between_two_moments(tmp_path: Path) -> None:
    steady = log(tmp_path / "steady.csv", [(100 + n, 5.0) for n in range(20)])
    assert energy.logged_joules(steady, 103.5, 111.25) == pytest.approx(5 * 7.75)
    rising = log(tmp_path / "rising.csv", [(100 + n, n) for n in range(20)])
    assert energy.logged_joules(rising, 104.0, 108.0) == pytest.approx(4 * 6)
    dates = [(f"1970-01-01T00:01:4{n}+00:00", 5.0) for n in range(9)]
    assert energy.logged_joules(log(tmp_path / "d.csv", dates), 101, 103) == pytest.approx(10)


@pytest.mark.parametrize(("began", "ended"), [(90, 105), (115, 130), (300, 310)])
def test_a_log_that_does_not_cover_the_measurement_is_refused(
    tmp_path: Path, began: float, ended: float
) -> None:
    path = log(tmp_path / "short.csv", [(100 + n, 5.0) for n in range(20)])
    with pytest.raises(EnergyError, match=r"no sample for .*clock"):
        energy.logged_joules(path, began, ended)


def test_a_log_with_a_hole_is_refused(tmp_path: Path) -> None:
    path = log(tmp_path / "hole.csv", [(100 + n, 5.0) for n in range(20) if not 5 < n < 12])
    with pytest.raises(EnergyError, match=r"no sample for 7\.0 s"):
        energy.logged_joules(path, 102, 117)


def test_a_log_of_zeros_is_refused(tmp_path: Path) -> None:
    path = log(tmp_path / "dead.csv", [(100 + n, 0.0) for n in range(20)])
    with pytest.raises(EnergyError, match=r"dead\.csv: it measured 0 J"):
        energy.logged_joules(path, 102, 117)


def test_a_log_that_is_still_written_is_read_as_far_as_its_lines_end(tmp_path: Path) -> None:
    path = log(tmp_path / "open.csv", [(100, 5.0), (101, 5.0)])
    with path.open("a") as file:
        file.write("102,1")  # of 15.0
    assert energy.read_log(path) == [(100.0, 5.0), (101.0, 5.0)]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(energy.read_log(path)) == 2, "a byte order mark is no part of the header"


def test_the_last_samples_of_a_measurement_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written after it ended; until some seconds later, and not for ever."""
    now = [110.0]
    path = log(tmp_path / "late.csv", [(100 + n, 5.0) for n in range(8)])

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 112:
            log(path, [(100 + n, 5.0) for n in range(12)])

    monkeypatch.setattr(energy.time, "time", lambda: now[0])
    monkeypatch.setattr(energy.time, "sleep", sleep)
    assert energy.logged_joules(path, 101, 110) == pytest.approx(45)
    with pytest.raises(EnergyError, match="does its writer flush each line"):
        energy.logged_joules(path, 101, 115)
    assert now[0] == pytest.approx(115 + energy.WRITTEN_WITHIN_S, abs=0.3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timestamp,watts\n", "no sample yet"),
        ("timestamp,watts\n1," + "9" * 200_000 + "\n", "field larger than field limit|no sample"),
        ("time,power\n1,2\n", "the header must be timestamp,watts"),
        ("", "the header must be"),
        ("timestamp,watts\n1,2\nnow,2\n", "line 3: no sample"),
        ("timestamp,watts\n1,-2\n", "no sample"),
        ("timestamp,watts\n1\n", "no sample"),
        ("timestamp,watts\n1,nan\n", "no sample"),
    ],
)
def test_a_bad_log_is_named_by_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(EnergyError, match=f"bad.csv.*{said}"):
        energy.read_log(tmp_path / "bad.csv")
    with pytest.raises(EnergyError, match=r"none\.csv"):
        energy.read_log(tmp_path / "none.csv")


# A measurement


def _timings(**more: Any) -> Timings:
    """Ten queries in five seconds that ended at 110."""
    seconds = np.full(10, 0.4)
    return Timings(seconds, seconds, 4.0, 4.0, 5.0, 0.1, 0.4, ended=110.0, **more)


def test_joules_are_shared_out_over_the_queries(tmp_path: Path) -> None:
    board: Any = SimpleNamespace(meter=lay_out(tmp_path, INA))
    timings = _timings(readings=((0.0, ("3000000",)), (5.0, ("3000000",))))
    found = measurement.energy_of(board, timings, None)
    assert (found.joules, found.source) == (pytest.approx(1.5), "hwmon, ina219")
    # What is plugged in between counts, whatever the board says of itself.
    path = log(tmp_path / "log.csv", [(100 + n, 5.0) for n in range(20)])
    found = measurement.energy_of(board, timings, path)
    assert (found.joules, found.source) == (pytest.approx(2.5), "an external meter's log, log.csv")


def test_energy_that_is_not_measured_is_said_not_to_be(tmp_path: Path) -> None:
    board: Any = SimpleNamespace(meter=None)
    found = measurement.energy_of(board, _timings(), None)
    assert found.joules is None
    assert found.source.startswith("not measured here")
    path = log(tmp_path / "old.csv", [(n, 5.0) for n in range(20)])
    found = measurement.energy_of(board, _timings(), path)
    assert found.joules is None
    assert "no sample" in (found.fault or "")
