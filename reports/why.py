"""Why a mode or a runtime is slower or larger than one expects: chosen from what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reports.schema import TargetVerdict

# From these factors on, a difference asks for its reason.
SLOW_RUNTIME, LITTLE_FASTER, MORE_MEMORY = 3.0, 0.7, 1.05
# A delegate that has so many partitions hands most tensors back and forth.
MANY_PARTITIONS = 10
_PARTITIONS = re.compile(r"\((\d+) partitions?\)")


def sentences(targets: Sequence[TargetVerdict]) -> list[str]:
    """Return the reasons that the figures of these targets give, a sentence each."""
    by_key = {
        (t["target"]["device"], t["target"]["runtime"], t["target"]["mode"]): t for t in targets
    }
    out: list[str] = []
    for (device, runtime, mode), found in by_key.items():
        float32 = by_key.get((device, runtime, "float32"))
        if float32 and mode != "float32":
            out += _against_float32(found, float32)
        same = [t for (d, _, m), t in by_key.items() if (d, m) == (device, mode)]
        out += _against_fastest(found, same)
    return out


def _against_float32(found: TargetVerdict, float32: TargetVerdict) -> Iterator[str]:
    ours, theirs, mode = found["metrics"], float32["metrics"], found["target"]["mode"]
    where = f"{mode} on {found['target']['runtime']}"
    share = _ratio(ours.get("p90_ms"), theirs.get("p90_ms"))
    is_integer = any(kind.startswith("int") for kind in ours.get("dtypes", {}).get("weights", {}))
    if share and share > LITTLE_FASTER and is_integer:
        why = _why_slow(ours)
        if why:
            yield f"{where} takes {share:.2f} of float32's time: {why}."
    more = _ratio(ours.get("memory_mb"), theirs.get("memory_mb"))
    half = {*ours.get("dtypes", {}).get("weights", {})} == {"float16"}
    if more and more > MORE_MEMORY and half:
        extra = ours["memory_mb"] - theirs["memory_mb"]
        yield (
            f"{where} takes {extra:.0f} MB more memory than float32: it computes in float32, so "
            "the weights are expanded when they are loaded, and the file's own stay beside them."
        )


def _why_slow(ours: dict[str, object]) -> str:
    if ours.get("int8_dot_product") is False:
        return "the processor has no int8 dot products, so integers save memory and little time"
    if (parts := _partitions(ours)) and parts >= MANY_PARTITIONS:
        return f"its delegate takes {parts} parts of the graph, and slower kernels the others"
    return ""


def _against_fastest(found: TargetVerdict, same: Sequence[TargetVerdict]) -> Iterator[str]:
    """Yield why a runtime is slower than the fastest of the same device and mode."""
    timed = [t for t in same if t["metrics"].get("p90_ms")]
    if found not in timed:
        return
    best = min(timed, key=lambda t: float(t["metrics"]["p90_ms"]))
    times = found["metrics"]["p90_ms"] / best["metrics"]["p90_ms"]
    ours, theirs = _partitions(found["metrics"]), _partitions(best["metrics"])
    if times >= SLOW_RUNTIME and ours and theirs and ours > theirs:
        yield (
            f"{found['target']['runtime']} takes {times:.0f} times as long as "
            f"{best['target']['runtime']} in {found['target']['mode']}: its delegate takes the "
            f"graph in {ours} parts, not in {theirs}, and slower kernels run between them."
        )


def _partitions(values: dict[str, object]) -> int | None:
    match = _PARTITIONS.search(str(values.get("delegate", "")))
    return int(match[1]) if match else None


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours and theirs else None
