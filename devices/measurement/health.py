"""Was the machine fit to measure on? A throttled or disturbed run is invalid, not slow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from devices.boards.detection import Read, reader

# Share of all cores' time that other processes may take during a timed part.
MOST_OTHERS = 0.10
# Pages swapped in or out; a few happen on any machine.
MOST_SWAPPED = 256

# A fixed lowest frequency, unless the driver's own: Intel's and AMD's give this name to theirs.
SLOW_GOVERNOR, ACTIVE_DRIVERS = "powersave", ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")
# Degrees above the coolest seen at which a board counts as cooled down.
COOL_C = 3.0

# Bits of the firmware's word (Raspberry Pi documentation, "vcgencmd get_throttled"). The same bits
# 16 places up mean "since boot"; they count only if they appear between two snapshots.
THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
# Of them, those that its heat sets.
HEAT = {1, 2, 3}
VMSTAT = "/proc/vmstat"
_GROUP = (
    "vcgencmd answers only the group video: type `sudo usermod -aG video $USER`, and log in again"
)
_FIRMWARE = "/sys/devices/platform/soc/soc:firmware/get_throttled"


@dataclass(frozen=True)
class Snapshot:
    """The machine's state at one moment; None where the machine does not tell.

    `busy_s` and `total_s` are CPU seconds of all cores since boot, `own_s` those of this process
    (0 if another machine is looked at), `temperature_c` the hottest zone, `frequency_mhz` the
    slowest core, `is_pi` whether a firmware should tell `throttled`, `mend` what to type where it
    does not, `cooling` the strongest step of what the kernel cools a CPU by (0: not at all),
    `on_battery` whether nothing but a battery feeds it, `swapped_pages` in and out since boot.
    """

    time_s: float
    load_1m: float | None
    busy_s: float
    total_s: float
    own_s: float
    governor: str | None
    frequency_mhz: float | None
    temperature_c: float | None
    throttled: int | None
    swap_used_mb: float
    swapped_pages: int
    is_pi: bool = False
    mend: str | None = None
    cooling: int | None = None
    on_battery: bool | None = None


# What a command prints on a machine, or None: `devices.boards.board.Board.run` is one.
Run = Callable[[Sequence[str]], str | None]


def snapshot(read: Read | None = None, *, run: Run | None = None) -> Snapshot:
    """The state of this machine, or of the one that `read` (a worker's) reads from.

    `run` runs a command there, for what a Raspberry Pi's firmware says in no file.
    """
    # First: a command takes time of the machine, which is none of what is measured.
    throttled = _throttled(read or reader(), run)
    is_pi = _is_pi(read or reader())
    mend = _mend(read or reader(), run) if is_pi and throttled is None else None
    here = read is None
    read = read or reader()
    busy, total = _cpu_seconds(read)
    loadavg = read("/proc/loadavg")
    cpu = "/sys/devices/system/cpu/cpu{}/cpufreq/"
    frequencies = _numbers(read, cpu + "scaling_cur_freq")
    meminfo = _table(read("/proc/meminfo"))
    vmstat = _table(read(VMSTAT))
    return Snapshot(
        time_s=time.monotonic(),
        load_1m=float(loadavg.split()[0]) if loadavg else None,
        busy_s=busy,
        total_s=total,
        own_s=time.process_time() if here else 0.0,
        governor=_governor(read, cpu.format(0)),
        frequency_mhz=min(frequencies) / 1e3 if frequencies else None,
        temperature_c=temperature(read),
        throttled=throttled,
        swap_used_mb=(meminfo.get("SwapTotal", 0) - meminfo.get("SwapFree", 0)) * 1024 / 1e6,
        swapped_pages=vmstat.get("pswpin", 0) + vmstat.get("pswpout", 0),
        is_pi=is_pi,
        mend=mend,
        cooling=_cooling(read),
        on_battery=_on_battery(read),
    )


def temperature(read: Read) -> float | None:
    """Degrees Celsius of the hottest zone; None where none can be read."""
    zones = _numbers(read, "/sys/class/thermal/thermal_zone{}/temp")
    return max(zones) / 1e3 if zones else None


def cool_down(
    read: Read,
    coolest_c: float | None,
    most_s: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[float, float | None]:
    """Wait until it is nearly as cool as it was at its coolest: the seconds waited, and how cool it
    has been now, if that can be read.

    Never longer than `most_s`, and that long where no temperature can be read.
    """
    waited = 0.0
    while waited < most_s:
        now = temperature(read)
        if now is not None:
            coolest_c = min(now, now if coolest_c is None else coolest_c)
        if now is not None and coolest_c is not None and now <= coolest_c + COOL_C:
            break
        sleep(min(1.0, most_s - waited))
        waited += 1.0
    return min(waited, most_s), coolest_c


def out_of_memory_kills(read: Read) -> int:
    """How many processes the kernel has killed for want of memory since boot."""
    return _table(read(VMSTAT)).get("oom_kill", 0)


def others_share(before: Snapshot, after: Snapshot, worker_cpu_s: float) -> float:
    """The share, 0 to 1, of all cores' time between the snapshots that other processes took.

    What this process and the worker (`worker_cpu_s`, its CPU seconds) took is subtracted.
    """
    others = after.busy_s - before.busy_s - (after.own_s - before.own_s) - worker_cpu_s
    return max(0.0, others) / max(after.total_s - before.total_s, 1e-9)


def swapping(before: Snapshot, after: Snapshot) -> str | None:
    """That pages were swapped between the snapshots, more than happens on any machine; or None."""
    swapped = after.swapped_pages - before.swapped_pages
    if swapped <= MOST_SWAPPED:
        return None
    return f"the machine was swapping: {swapped} pages, {MOST_SWAPPED} allowed"


def verdict(
    before: Snapshot,
    after: Snapshot,
    *,
    worker_cpu_s: float,
    most_others: float = MOST_OTHERS,
    heat_is_fault: bool = True,
) -> str | None:
    """Why what was measured between the snapshots is invalid; None if it is valid.

    `heat_is_fault`: whether being slowed down by its own heat makes a board unfit. Under
    sustained load that is what is measured.
    """
    return next(_faults(before, after, worker_cpu_s, most_others, heat_is_fault), None)


def _faults(
    before: Snapshot,
    after: Snapshot,
    worker_cpu_s: float,
    most_others: float,
    heat_is_fault: bool,
) -> Iterator[str]:
    for state in (before, after):
        if state.is_pi and state.throttled is None:
            yield f"whether the board was held back cannot be read: {state.mend or _GROUP}"
    for bit, name in THROTTLED.items():
        if bit in HEAT and not heat_is_fault:
            continue
        now = ((before.throttled or 0) | (after.throttled or 0)) >> bit & 1
        meanwhile = ((after.throttled or 0) & ~(before.throttled or 0)) >> (bit + 16) & 1
        if now or meanwhile:
            yield f"the board was held back ({name}); get_throttled 0x{after.throttled or 0:x}"
    for state in (before, after):
        if state.cooling and heat_is_fault:
            yield f"the kernel held the CPU back to cool it (step {state.cooling})"
        if state.governor == SLOW_GOVERNOR:
            yield (
                f"the governor {SLOW_GOVERNOR} keeps the CPU at its lowest frequency "
                f"({state.frequency_mhz} MHz): set another with `cpupower frequency-set`"
            )
    if before.on_battery != after.on_battery:
        yield "the power source changed"
    if swapped := swapping(before, after):
        yield swapped
    if after.total_s <= before.total_s:
        yield "no time passed between the snapshots, or /proc/stat cannot be read"
    share = others_share(before, after, worker_cpu_s)
    if share > most_others:
        yield (
            f"other processes took {share:.0%} of the CPUs, {most_others:.0%} allowed "
            f"(load average {after.load_1m})"
        )


def _cpu_seconds(read: Read) -> tuple[float, float]:
    """Busy and total seconds of all cores (proc(5): user nice system idle iowait irq softirq)."""
    line = (read("/proc/stat") or "cpu").splitlines()[0]
    ticks = [int(value) for value in line.split()[1:9]]
    if len(ticks) < 8:
        return 0.0, 0.0
    hertz = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - ticks[3] - ticks[4]) / hertz, sum(ticks) / hertz


def _governor(read: Read, cpu: str) -> str | None:
    """The governor's name, with the driver's before it where the driver decides by itself."""
    governor = (read(cpu + "scaling_governor") or "").strip()
    driver = (read(cpu + "scaling_driver") or "").strip()
    return (f"{driver}: {governor}" if driver in ACTIVE_DRIVERS else governor) or None


def _cooling(read: Read) -> int | None:
    """The strongest current step of the cooling devices that slow a CPU; None without one."""
    folder, steps = "/sys/class/thermal/cooling_device{}/", []
    number = 0
    while kind := read(folder.format(number) + "type"):
        if "cpufreq" in kind or kind.strip() == "Processor":
            steps.append(int(read(folder.format(number) + "cur_state") or 0))
        number += 1
    return max(steps, default=None)


def _on_battery(read: Read) -> bool | None:
    """Whether a mains supply is there and off; None where the machine names none."""
    supplies = ("AC", "ACAD", "ADP0", "ADP1", "AC0", "AC1")
    online = [read(f"/sys/class/power_supply/{name}/online") for name in supplies]
    stated = [text.strip() == "1" for text in online if text]
    return not any(stated) if stated else None


def _numbers(read: Read, pattern: str) -> list[float]:
    """The numbers in numbered files, from 0 until one is missing or holds none."""
    numbers: list[float] = []
    while text := read(pattern.format(len(numbers))):
        try:
            numbers.append(float(text))
        except ValueError:
            break
    return numbers


def _table(text: str | None) -> dict[str, int]:
    rows = [line.replace(":", " ").split() for line in (text or "").splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _is_pi(read: Read) -> bool:
    return "Raspberry Pi" in (read("/proc/device-tree/model") or "")


def _mend(read: Read, run: Run | None) -> str:
    """Return what lets this user read the firmware's word, a command to type among it."""
    if run and not run(["sh", "-c", "command -v vcgencmd"]):
        release = read("/etc/os-release") or ""
        # Debian's, Ubuntu's and DietPi's sources have the older name; Raspberry Pi OS has both.
        of_pi = read("/etc/rpi-issue") and "DietPi" not in release and "ubuntu" not in release
        package = "raspi-utils" if of_pi else "libraspberrypi-bin"
        return f"vcgencmd is missing: type `sudo apt install {package}`"
    return _GROUP


def _throttled(read: Read, run: Run | None) -> int | None:
    """The firmware's throttling bits, from its file, or as `vcgencmd` prints them."""
    text = read(_FIRMWARE)
    if not text and run and _is_pi(read):
        text = (run(["vcgencmd", "get_throttled"]) or "").strip().removeprefix("throttled=")
    try:
        return int(text, 16) if text else None
    except ValueError:
        return None
