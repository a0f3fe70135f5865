"""How fast a board would be, computed and never measured: whatever is said here is *projected*.

Two ways, both with a bracket that the profile states with its source (docs/emulation.md):

- by instructions: those the board's CPU model executed for a text, over what all its cores
  execute in a second, `instructions_per_cycle` x `ghz`;
- by roofline (Williams, Waterman and Patterson 2009): the longer of its arithmetic over the reached
  share of the float32 peak, and its bytes over the bandwidth of memory. An int8 mode is held
  against the same peak: only the instructions know what the int8 dot product saves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from devices.errors import DeviceError
from devices.profile import Profile


@dataclass(frozen=True)
class Projected:
    """Seconds, in a bracket. `seconds` is the geometric mean of its ends and no more than that."""

    lower: float
    upper: float
    statistic: str

    @property
    def seconds(self) -> float:
        return math.sqrt(self.lower * self.upper)


def by_instructions(profile: Profile, instructions: float) -> Projected:
    """Time of so many instructions, executed as the profile says.

    Raises:
        DeviceError: the profile has no [projection].
    """
    found = profile.projection
    if found is None:
        raise DeviceError(f"{profile.name}: nothing is projected without [projection]")
    least, most = found.instructions_per_cycle
    return Projected(
        lower=instructions / (most * found.ghz * 1e9),
        upper=instructions / (least * found.ghz * 1e9),
        statistic=f"projected: {instructions / 1e6:.0f} M instructions, {least:g} to {most:g} a "
        f"cycle of {found.ghz:g} GHz",
    )


def by_roofline(
    profile: Profile, arithmetic: float, weight_bytes: float, activation_bytes: float
) -> Projected:
    """Time of so many operations, and bytes of memory: weights, and at worst activations as well.

    Raises:
        DeviceError: the profile has no [projection] or no [peak].
    """
    peak, found = profile.peak, profile.projection
    if peak is None or found is None:
        raise DeviceError(f"{profile.name}: nothing is projected without [peak] and [projection]")
    least, most = found.efficiency
    flops, bandwidth = peak.fp32_gflops * 1e9, peak.memory_gb_s * 1e9
    return Projected(
        lower=max(arithmetic / (flops * most), weight_bytes / bandwidth),
        upper=max(arithmetic / (flops * least), (weight_bytes + activation_bytes) / bandwidth),
        statistic=f"projected: {arithmetic / 1e9:.2f} GFLOP at {100 * least:.0f} to "
        f"{100 * most:.0f}% of {peak.fp32_gflops:g} GFLOPS",
    )
