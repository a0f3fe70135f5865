"""A machine is recognised by its own files, and a bad profile or a disturbed run is named."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devices.boards.board import connect, resolve_boards, this_machine
from devices.boards.detection import detect, reader
from devices.commands import boards_table
from devices.errors import DeviceError, NoRuntimeError, WorkerError
from devices.measurement.health import cool_down, out_of_memory_kills, snapshot, verdict
from devices.profile import FOLDER, profile, profiles
from fixtures.run import Run

# /proc/device-tree/model as the boards give it, NUL and all.
MODELS = {
    "Raspberry Pi Zero 2 W Rev 1.0\0": "pi_zero2w",
    "Raspberry Pi 3 Model B Rev 1.2\0": "pi3",
    "Raspberry Pi 3 Model B Plus Rev 1.3\0": "pi3",
    "Raspberry Pi 4 Model B Rev 1.4\0": "pi4",
    "Raspberry Pi 400 Rev 1.0\0": "pi4",
    "Raspberry Pi 5 Model B Rev 1.0\0": "pi5",
    "NVIDIA Jetson Nano Developer Kit\0": "jetson_nano",
    "Raspberry Pi 2 Model B Rev 1.1\0": "host",
    "NVIDIA Jetson Orin Nano Developer Kit\0": "host",
}
# /proc/device-tree/compatible likewise, the most specific entry first.
COMPATIBLE = {
    "raspberrypi,model-zero-2-w\0brcm,bcm2837\0": "pi_zero2w",
    "raspberrypi,3-model-b\0brcm,bcm2837\0": "pi3",
    "raspberrypi,3-model-b-plus\0brcm,bcm2837\0": "pi3",
    "raspberrypi,4-model-b\0brcm,bcm2711\0": "pi4",
    "raspberrypi,400\0brcm,bcm2711\0": "pi4",
    "raspberrypi,5-model-b\0brcm,bcm2712\0": "pi5",
    "nvidia,p3450-0000\0nvidia,tegra210\0": "jetson_nano",
    "nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,jetson-nano\0nvidia,tegra210\0": "jetson_nano",
    "raspberrypi,2-model-b-rev2\0brcm,bcm2837\0": "host",
    "raspberrypi,4-compute-module\0brcm,bcm2711\0": "host",
}
ARM_CPUINFO = "".join(
    f"processor\t: {n}\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
    for n in range(4)
)


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(("model", "device"), MODELS.items())
def test_a_board_is_recognised_by_its_device_tree(tmp_path: Path, model: str, device: str) -> None:
    machine = detect(lay_out(tmp_path, {"proc/device-tree/model": model}))
    assert machine.device == device
    assert "\0" not in machine.description


@pytest.mark.parametrize(("compatible", "device"), COMPATIBLE.items())
def test_a_board_is_recognised_by_what_it_is_compatible_with(
    tmp_path: Path, compatible: str, device: str
) -> None:
    files = {"proc/device-tree/model": "A name of the maker's own\0"}
    machine = detect(lay_out(tmp_path, files | {"proc/device-tree/compatible": compatible}))
    assert machine.device == device


def test_a_board_is_described_for_people_and_for_comparison(tmp_path: Path) -> None:
    machine = detect(
        lay_out(
            tmp_path,
            {
                "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
                "proc/cpuinfo": ARM_CPUINFO,
                "proc/meminfo": "MemTotal:        3884360 kB\nMemFree:  1 kB\n",
                "proc/sys/kernel/arch": "aarch64\n",
                "etc/os-release": 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            },
        )
    )
    assert machine.description == (
        "Raspberry Pi 4 Model B Rev 1.4, 4 cores (Cortex-A72), 3977 MB, aarch64, "
        "Debian GNU/Linux 12 (bookworm)"
    )
    assert machine.machine_info == {
        "device": "pi4",
        "cpu": "Cortex-A72",
        "architecture": "aarch64",
    }


def test_this_machine_is_some_machine() -> None:
    machine = detect()
    assert machine.device in profiles()
    assert machine.cores >= 1
    assert machine.memory_mb > 100


def test_every_shipped_profile_is_readable_and_demands_a_second() -> None:
    found = profiles()
    assert set(found) == {"host", "pi3", "pi4", "pi5", "pi_zero2w", "jetson_nano"}
    for name, device in found.items():
        assert device.name == name
        assert device.budget.latency_ms == 1000
        if name != "host":
            assert device.models
            assert device.compatible
            assert device.peak
            assert device.image
            assert device.budget.memory_mb < (device.memory_mb or 0) / 2


def test_a_board_is_added_by_adding_a_file(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "pi4.toml", tmp_path / "mine.toml")
    assert profile("mine", tmp_path).cores == 4
    with pytest.raises(DeviceError, match=r"unknown device 'pi4'; there are mine"):
        profile("pi4", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("latency_ms = 1000", "", r"budget\.latency_ms is missing"),
        ("latency_ms = 1000", 'latency_ms = "fast"', r"budget\.latency_ms must be float"),
        ("latency_ms = 1000", "latency_ms = 0", r"budget\.latency_ms must be above zero"),
        ("latency_ms = 1000", "latency = 1000", r"unknown field budget\.latency"),
        ("[budget]", "[budgets]", r"section \[budget\] is missing"),
        ("[peak]", "[peaks]", r"unknown section \[peaks\]"),
        ("threads = 4", "threads = true", r"threads must be int"),
        ("threads = 4", "thread = 4", r"unknown field thread"),
        ("[recognise]", "[recognise", r"not a TOML file"),
        ('glibc = "2.36"', 'glibc = "2.36-9"', r"image\.glibc must be numbers like 2\.36"),
        ('python = "3.11"', 'python = "three"', r"image\.python must be numbers"),
        ("models = [", "models = [4, ", r"recognise\.models"),
        ("compatible = [", "compatible = [4, ", r"recognise\.compatible"),
        ("compatible = [", "compatibles = [", r"unknown field recognise\.compatibles"),
    ],
)
def test_a_bad_profile_is_named_by_file_and_field(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    text = (FOLDER / "pi4.toml").read_text()
    assert old in text
    (tmp_path / "bad.toml").write_text(text.replace(old, new))
    with pytest.raises(DeviceError, match=named) as raised:
        profiles(tmp_path)
    assert "bad.toml" in str(raised.value)


STAT = "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\n"


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """A recorded Pi, 1000 ticks after boot."""
    lay_out(
        tmp_path,
        {
            "proc/stat": STAT.format(busy=100, idle=900),
            "proc/loadavg": "0.10 0.20 0.30 1/100 1000\n",
            "proc/meminfo": "SwapTotal: 102396 kB\nSwapFree: 102396 kB\n",
            "proc/vmstat": "pswpin 0\npswpout 5\n",
            "sys/class/thermal/thermal_zone0/temp": "48199\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
            # An under-voltage happened since boot, long before: no reason to refuse.
            "sys/devices/platform/soc/soc:firmware/get_throttled": "10000\n",
        },
    )
    return tmp_path


def test_a_snapshot_reads_the_board(pi: Path) -> None:
    state = snapshot(reader(pi))
    assert (state.temperature_c, state.frequency_mhz, state.governor) == (48.199, 1500, "ondemand")
    assert (state.throttled, state.swapped_pages, state.load_1m) == (0x10000, 5, 0.1)


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        # 4 of 10 seconds busy, 3.8 of them the worker's.
        ("proc/stat", STAT.format(busy=500, idle=1500), None),
        # 8 of 10 seconds busy.
        ("proc/stat", STAT.format(busy=900, idle=1100), r"other processes took 42%"),
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "10004", r"\(throttled\)"),
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "30000", r"\(frequency capped\)"),
        ("proc/vmstat", "pswpin 4000\npswpout 5\n", r"swapping: 4000 pages"),
    ],
)
def test_a_disturbed_measurement_is_invalid_and_says_why(
    pi: Path, path: str, text: str, reason: str | None
) -> None:
    before = snapshot(reader(pi))
    (pi / "proc/stat").write_text(STAT.format(busy=480, idle=1520))
    (pi / path).write_text(text)
    found = verdict(before, snapshot(reader(pi)), worker_cpu_s=3.8)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(reason, found), found


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n"}, "lowest freq"),
        (
            {
                "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
                "sys/class/thermal/cooling_device0/cur_state": "4\n",
                "sys/class/thermal/cooling_device1/type": "cpufreq-cpu0\n",
                "sys/class/thermal/cooling_device1/cur_state": "2\n",
            },
            r"to cool it \(step 2\)",
        ),
        ({"sys/class/power_supply/AC/online": "0\n"}, "the power source changed"),
    ],
)
def test_a_machine_that_is_held_back_is_invalid(
    pi: Path, files: dict[str, str], reason: str
) -> None:
    lay_out(pi, {"sys/class/power_supply/AC/online": "1\n"})
    before = snapshot(reader(pi))
    lay_out(pi, {"proc/stat": STAT.format(busy=480, idle=1520)})
    assert verdict(before, snapshot(reader(pi)), worker_cpu_s=3.8) is None
    lay_out(pi, files)
    found = verdict(before, snapshot(reader(pi)), worker_cpu_s=3.8)
    assert found is not None
    assert re.search(reason, found), found


def test_intels_own_powersave_is_no_fixed_frequency(pi: Path) -> None:
    cpu = "sys/devices/system/cpu/cpu0/cpufreq/"
    lay_out(pi, {cpu + "scaling_governor": "powersave\n", cpu + "scaling_driver": "intel_pstate"})
    assert snapshot(reader(pi)).governor == "intel_pstate: powersave"


def test_throttling_is_asked_of_the_firmware_where_no_file_tells(pi: Path) -> None:
    (pi / "sys/devices/platform/soc/soc:firmware/get_throttled").unlink()
    asked: list[list[str]] = []

    def run(command: Sequence[str]) -> str:
        asked.append(list(command))
        return "throttled=0x50005\n"

    assert snapshot(reader(pi), run=run).throttled is None, "no Raspberry Pi: not asked"
    lay_out(pi, {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"})
    assert snapshot(reader(pi), run=run).throttled == 0x50005
    assert asked == [["vcgencmd", "get_throttled"]]
    told = snapshot(reader(pi), run=run)
    lay_out(pi, {"proc/stat": STAT.format(busy=480, idle=1520)})
    mute = snapshot(reader(pi), run=lambda command: None)
    assert mute.throttled is None
    for before, after in ((told, mute), (mute, replace(mute, total_s=mute.total_s + 10))):
        found = verdict(before, after, worker_cpu_s=3.8)
        assert found is not None
        assert "held back cannot be read: vcgencmd is missing: type `sudo apt install" in found


@pytest.mark.parametrize(
    ("files", "has_command", "typed"),
    [
        ({"etc/rpi-issue": "Raspberry Pi reference 2025-10-01"}, False, "apt install raspi-utils"),
        ({"etc/os-release": "ID=ubuntu\n"}, False, "apt install libraspberrypi-bin"),
        ({"etc/os-release": 'PRETTY_NAME="Debian"\n'}, False, "apt install libraspberrypi-bin"),
        ({"etc/os-release": "ID=ubuntu\n"}, True, "usermod -aG video $USER"),
    ],
    ids=["Raspberry Pi OS", "Ubuntu", "DietPi", "outside group video"],
)
def test_where_the_firmware_is_mute_the_command_that_mends_it_is_said(
    pi: Path, files: dict[str, str], has_command: bool, typed: str
) -> None:
    (pi / "sys/devices/platform/soc/soc:firmware/get_throttled").unlink()
    lay_out(pi, files | {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"})
    where = "/usr/bin/vcgencmd\n" if has_command else None
    state = snapshot(reader(pi), run=lambda command: where if command[0] == "sh" else None)
    found = verdict(state, replace(state, total_s=state.total_s + 10), worker_cpu_s=0)
    assert found is not None
    assert f"`sudo {typed}`" in found


def test_a_32_bit_userland_is_said_and_ends_only_what_has_no_wheel_for_it(pi: Path) -> None:
    machine = detect(pi, architecture="aarch64", bits=32)
    assert "aarch64 with a 32-bit userland" in machine.description
    assert "userland" not in detect(pi, architecture="aarch64", bits=64).description
    asked: list[str] = []
    board = replace(this_machine("host", pi), machine=machine, spec=_asked(asked))
    with (
        pytest.raises(NoRuntimeError, match=r"no wheel for a 32-bit userland \(aarch64 kernel"),
        board.worker("ai-edge-litert"),
    ):
        pass
    with pytest.raises(WorkerError, match="asked"), board.worker("tflite-runtime"):
        pass
    assert asked == ["tflite-runtime"]


def _asked(names: list[str]) -> Callable[[str], str]:
    def spec(runtime: str) -> str:
        names.append(runtime)
        raise WorkerError("asked")

    return spec


@pytest.mark.parametrize(
    ("temperatures", "most_s", "waited"),
    [
        (["60000", "55000", "52900"], 60, 2),  # 50 degrees at its coolest, and 3 are allowed
        (["60000"] * 9, 5, 5),
        (["52000"], 60, 0),
        ([""] * 9, 4, 4),  # no temperature to be read: the whole of it
    ],
)
def test_a_board_cools_down_before_it_is_timed(
    temperatures: list[str], most_s: float, waited: float
) -> None:
    left = iter(temperatures)
    slept: list[float] = []
    found, _ = cool_down(
        lambda path: next(left) if "zone0" in path else None, 50.0, most_s, sleep=slept.append
    )
    assert (found, sum(slept)) == (waited, waited)


def test_a_board_that_was_hot_at_first_cools_down_to_what_it_has_been_since() -> None:
    """The coolest that it has been seen, not the first that was read."""

    def cool(readings: list[float], coolest: float | None) -> tuple[float, float | None]:
        left = iter(readings)
        return cool_down(
            lambda path: f"{1000 * next(left):.0f}" if "zone0" in path else None,
            coolest,
            60,
            sleep=lambda seconds: None,
        )

    assert cool([50], 70.0) == (0, 50)
    assert cool([69, 60, 52], 50.0) == (2, 50)


def test_a_kernel_that_killed_for_want_of_memory_says_so(pi: Path) -> None:
    assert out_of_memory_kills(reader(pi)) == 0
    lay_out(pi, {"proc/vmstat": "pswpin 0\noom_kill 3\n"})
    assert out_of_memory_kills(reader(pi)) == 3


def test_a_machine_that_tells_nothing_is_not_taken_for_idle(tmp_path: Path) -> None:
    state = snapshot(reader(tmp_path))
    assert "cannot be read" in (verdict(state, state, worker_cpu_s=0) or "")


def test_own_work_is_not_counted_against_the_machine(pi: Path) -> None:
    now = snapshot(reader(pi))
    later = replace(now, busy_s=now.busy_s + 5, total_s=now.total_s + 10, own_s=now.own_s + 2)
    assert verdict(now, later, worker_cpu_s=3.0) is None
    assert verdict(now, later, worker_cpu_s=0.0) is not None


def test_the_table_in_the_docs_is_that_of_the_profiles() -> None:
    assert boards_table() in (FOLDER.parents[1] / "docs" / "reference" / "boards.md").read_text()


# Remotes that do not answer

DEAD = "popen//python=/no/such/python//id="


def test_a_dead_gateway_is_a_board_that_is_asked_for_and_not_this_machine(tmp_path: Path) -> None:
    both = resolve_boards(["pi4", "pi5"], [DEAD + "a", DEAD + "b"], tmp_path)
    assert [board.name for board in both] == ["pi4@a", "pi5@b"]
    dead, here = resolve_boards(["host", "pi4"], [DEAD + "a"], tmp_path)
    assert (dead.name, dead.fault is None) == ("pi4@a", False)
    assert (here.name, here.fault) == ("host", None)
    (dead,) = resolve_boards(["pi4"], [DEAD + "a"], tmp_path, emulate=True)
    assert (dead.emulated, dead.fault is None) == (False, False)
    dead, emulated = resolve_boards(["pi4", "pi5"], [DEAD + "a"], tmp_path, emulate=True)
    assert (dead.name, emulated.name) == ("pi4@a", "pi5@qemu")


def test_a_device_that_is_nowhere_is_told_with_the_gateways_that_were_not_reached(
    tmp_path: Path,
) -> None:
    told = rf"(?s)-m pi5: this machine is not .*\n--remote={DEAD}a was not reached: .*no/such"
    with pytest.raises(DeviceError, match=told):
        resolve_boards(["pi4", "pi5"], [DEAD + "a"], tmp_path)


def test_a_board_with_the_python_of_one_runtime_alone_is_there(tmp_path: Path) -> None:
    """Asked with whichever answers, of those that are to be judged."""
    own = tmp_path / "tflite-runtime" / "python"
    own.parent.mkdir()
    own.symlink_to(sys.executable)
    remote = f"popen//python={tmp_path}/{{runtime}}/python"
    assert connect(remote).machine.cores == detect().cores
    with pytest.raises(WorkerError, match="ai-edge-litert/python"):
        connect(remote, ["ai-edge-litert"])


def test_a_runtime_that_does_not_come_up_is_no_fault_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has a Python of its own; one is asked once."""
    asked = []

    class Bare:
        name = "pi4"
        remote = "ssh=pi@board//python={runtime}/python"

        def spec(self, runtime: str) -> str:
            return runtime

        @contextmanager
        def worker(self, runtime: str) -> Iterator[str]:
            asked.append(runtime)
            if runtime == "tflite-runtime":
                raise WorkerError("no such Python")
            yield runtime

    config: Any = SimpleNamespace(runtimes=())
    run, board = Run(config, {}), cast(Any, Bare())
    dead, good = "tflite-runtime", "ai-edge-litert"
    for said in ("no such Python", "not asked again: no such Python"):
        with pytest.raises(WorkerError, match=f"^{said}"), run.bare_worker(board, dead):
            pass
        with run.bare_worker(board, good) as worker:
            assert worker == "ai-edge-litert"
    assert asked == ["tflite-runtime", "ai-edge-litert", "ai-edge-litert"]
