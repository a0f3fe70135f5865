"""What to ship: of the targets of a device that pass, the one to take, and what would change it.

The rule: leave out what is dominated. Of the rest take the one with the least energy for a text,
or the fastest where nothing measures energy. A target is dominated if another one of the same
device is at least as good in size, drop, time and memory, and better in one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import aggregate, metrics
from reports.metrics import METRICS
from reports.schema import TargetVerdict
from reports.verdict import PASSING, Verdict, rank

RULE = (
    "Left out is what another target of the device equals or beats in size, drop, time and memory. "
    "Of the rest the one with the least energy for a text is taken, or the fastest where nothing "
    "measures energy."
)


@dataclass(frozen=True)
class Recommendation:
    """What the targets of one device come to.

    Attributes:
        device: the name of the board.
        targets: all of them.
        passing: those that ship, or conform on an emulated board.
        dominated: names of passing ones, with the name of one that dominates each.
        take: the one to take; None if none passes.
        smallest, fastest, most_accurate: of those that pass, where the figure is known.
        nearest: where none passes, the one with the mildest verdict.
    """

    device: str
    targets: list[TargetVerdict]
    passing: list[TargetVerdict]
    dominated: dict[str, str]
    take: TargetVerdict | None
    smallest: TargetVerdict | None
    fastest: TargetVerdict | None
    most_accurate: TargetVerdict | None
    nearest: TargetVerdict | None

    def sentence(self) -> str:
        """Return the answer: how many pass, which to take with its figures, or what is nearest."""
        if self.take is None:
            if self.nearest is None:
                return f"{self.device}: nothing was judged, so nothing ships."
            why = "; ".join(self.nearest["reasons"][:1]).rstrip(".")
            return (
                f"Nothing ships on {self.device}. {short(self.nearest)}: "
                f"{self.nearest['verdict']}{f': {why}' if why else ''}."
            )
        verb = "ship" if self.take["verdict"] == Verdict.SHIPS else "conform"
        if len(self.passing) == 1:
            verb += "s"
        return (
            f"{len(self.passing)} of {len(self.targets)} targets {verb} on {self.device}. "
            f"Take {short(self.take)}: {figures(self.take['metrics'])}."
        )

    def lines(self) -> list[str]:
        """Return the sentence, what would change it, and what is dominated."""
        dominated = [
            f"{name} is left out: {by} is no worse." for name, by in self.dominated.items()
        ]
        return [self.sentence(), *self.alternatives(), *dominated]

    def alternatives(self) -> list[str]:
        """Return what would change the answer: a sentence for each other target that is best."""
        out = []
        for what, best, keys in (
            ("size", self.smallest, ("size_bytes",)),
            ("speed", self.fastest, _TIMES),
            ("accuracy", self.most_accurate, _DROPS),
        ):
            if best is None or best is self.take or self.take is None:
                continue
            key = next(key for key in keys if key in best["metrics"])
            ours, theirs = (METRICS[key].cell(x["metrics"]) for x in (self.take, best))
            if ours != theirs:
                label, unit = METRICS[key].column
                out.append(
                    f"If {what} counts most, take {short(best)}: {label} {theirs} {unit} "
                    f"instead of {ours}."
                )
        return out


_TIMES = ("p90_ms", "projected_p90_upper_ms")
_DROPS = ("drop_upper", "mean_logit_error")


def short(found: TargetVerdict) -> str:
    """Return `dynamic_range on ai-edge-litert`."""
    return f"{found['target']['mode']} on {found['target']['runtime']}"


def figures(values: Mapping[str, Any]) -> str:
    """Return size, bound of the drop, p90 and memory of a target, those that are known."""
    parts = []
    if "size_bytes" in values:
        parts.append(f"{METRICS['size_bytes'].cell(values)} MB")
    if "drop_upper" in values:
        parts.append(f"drop ≤ {METRICS['drop_upper'].cell(values)} points")
    if "p90_ms" in values:
        parts.append(f"p90 {METRICS['p90_ms'].cell(values)} ms")
    elif bounds := metrics.bounds(METRICS["projected_p90_ms"], values):
        parts.append(f"p90 projected {bounds[0]:.0f}–{bounds[1]:.0f} ms, not measured")
    if "memory_mb" in values:
        parts.append(f"memory {METRICS['memory_mb'].cell(values)} MB")
    return ", ".join(parts) or "no figures"


def recommend(targets: Sequence[TargetVerdict]) -> list[Recommendation]:
    """Return a recommendation for each device, sorted by name."""
    devices = sorted({found["target"]["device"] for found in targets})
    return [
        _of_device(device, [found for found in targets if found["target"]["device"] == device])
        for device in devices
    ]


def _of_device(device: str, targets: list[TargetVerdict]) -> Recommendation:
    passing = [found for found in targets if Verdict(found["verdict"]) in PASSING]
    dominated = {}
    for found in passing:
        if by := next((other for other in passing if _dominates(other, found)), None):
            dominated[aggregate.name(found["target"])] = aggregate.name(by["target"])
    rest = [found for found in passing if aggregate.name(found["target"]) not in dominated]
    with_energy = rest and all("energy_j" in found["metrics"] for found in rest)
    order: tuple[str, ...] = (*(("energy_j",) if with_energy else ()), *_TIMES, "size_bytes")
    return Recommendation(
        device,
        targets,
        passing,
        dominated,
        take=_least(rest, *order),
        smallest=_least(passing, "size_bytes"),
        fastest=_least(passing, *_TIMES),
        most_accurate=_least(passing, *_DROPS),
        nearest=None
        if passing or not targets
        else min(targets, key=lambda x: (rank(Verdict(x["verdict"])), len(x["reasons"]))),
    )


def _least(targets: Sequence[TargetVerdict], *keys: str) -> TargetVerdict | None:
    """Return the target with the least value of the first key that any of them has.

    Of equal ones it is the smallest.
    """
    for key in keys:
        if known := [found for found in targets if found["metrics"].get(key) is not None]:
            return min(
                known,
                key=lambda x: (x["metrics"][key], x["metrics"].get("size_bytes", float("inf"))),
            )
    return None


def _dominates(one: TargetVerdict, other: TargetVerdict) -> bool:
    """Return whether `one` is at least as good in every figure of both, and better in one."""
    ours, theirs = one["metrics"], other["metrics"]
    keys = ["size_bytes", "drop_upper", "balanced_drop_upper", *_TIMES, "memory_mb"]
    pairs = [(ours[k], theirs[k]) for k in keys if ours.get(k) is not None and k in theirs]
    known = [(a, b) for a, b in pairs if b is not None]
    compared = any(k in ours and k in theirs for k in _TIMES)
    return (
        compared
        and "size_bytes" in ours
        and all(a <= b for a, b in known)
        and any(a < b for a, b in known)
    )
