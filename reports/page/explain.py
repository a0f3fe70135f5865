"""What a verdict means to somebody who has not read the docs: demanded, found, why, what to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import aggregate
from reports.schema import REQUIRED, TIMED_CLAIMS, Record, TargetVerdict
from reports.verdict import PASSING, Verdict, number

# Of this share of labels that stay the same, a lost point is the checkpoint's and not the mode's.
_FAITHFUL = 98.0


@dataclass(frozen=True)
class Explanation:
    """One check that does not pass. Each field is a sentence, or empty."""

    claim: str
    verdict: Verdict
    expected: bool
    demanded: str
    found: str
    why: str
    advice: str


def explain(
    found: TargetVerdict, records: Sequence[Record], required: Sequence[str] = REQUIRED
) -> list[Explanation]:
    """Return an explanation of each check of a target that does not pass, and of what is missing.

    Args:
        found: the target's verdict.
        records: those of the target, and those of every target.
        required: claims that a target needs.
    """
    out: dict[tuple[str, str], Explanation] = {}
    for record in records:
        verdict = Verdict(record["verdict"])
        if verdict in PASSING:
            continue
        left_out = record["outcome"] == "not run"
        why, advice = _cause(record["claim"], verdict, left_out, found["metrics"])
        out.setdefault(
            (record["claim"], record["reason"]),
            Explanation(
                record["claim"],
                verdict,
                record["expected_failure"],
                _demanded(record),
                record["reason"],
                why,
                advice,
            ),
        )
    judged = aggregate.claims(found["target"], records, required)
    explained = {one.claim for one in out.values()}
    left = [claim for claim in required if not judged[claim][1] and claim not in explained]
    if missing := ", ".join(left):
        every, none = "Each required claim is judged.", f"Not judged: {missing}."
        out[missing, none] = Explanation(
            missing, Verdict.INCONCLUSIVE, False, every, none, *_LEFT_OUT
        )
    return list(out.values())


def _demanded(record: Record) -> str:
    failing = [m for m in record["measurements"] if Verdict(m["verdict"]) not in PASSING]
    for measured in failing[-1:]:
        if measured["budget"] is not None:
            budget = f"{number(measured['budget'])} {measured['unit']}".rstrip()
            return f"{measured['name']}: {measured['comparison']} {budget}."
        return f"{measured['name']}: it has to hold."
    return ""


def _cause(
    claim: str, verdict: Verdict, left_out: bool, values: Mapping[str, Any]
) -> tuple[str, str]:
    """Return why it probably is so, and what to try."""
    if verdict is Verdict.INVALID:
        return _DISTURBED if claim in TIMED_CLAIMS else _NO_MEASUREMENT
    if verdict is Verdict.CANNOT_RUN:
        return _REFUSED
    if verdict is Verdict.INCONCLUSIVE:
        return _LEFT_OUT if left_out else _TOO_NEAR
    if claim == "accuracy" and values.get("agreement", 0.0) >= _FAITHFUL:
        return (
            f"The checkpoint itself loses it: {values['agreement']:.1f}% of the labels are those "
            "of its float32 model, so quantization changes little.",
            "Train or distill the checkpoint further, or judge another one.",
        )
    return _FAILS.get(claim, ("", "See what the claim asks: docs/reference/checks.md."))


_DISTURBED = (
    "The machine was not fit to measure on: other programs ran, it was hot, it throttled or it "
    "swapped.",
    "Close other programs and run it again. On a board, look at cooling and power supply.",
)
_NO_MEASUREMENT = (
    "There is no valid measurement, so nothing is concluded.",
    "Mend what the sentence names, and run it again.",
)
_REFUSED = (
    "The runtime refuses the file, ends while it runs, or returns outputs that cannot be right.",
    "Judge another mode or another runtime, or another release of this one.",
)
_LEFT_OUT = (
    "This run left the claim out.",
    "Run it again without the options that choose tests (-k, names of claims in -m).",
)
_TOO_NEAR = (
    "The figure is so near to the budget that these texts or repetitions do not decide.",
    "Run it with --preset full, which takes more texts and more time.",
)
_FAILS = {
    "accuracy": (
        "The mode changes labels: it rounds weights or activations too coarsely.",
        "Judge a finer mode: mixed or dynamic_range instead of int4, float16 instead of these.",
    ),
    "latency": (
        "The processor needs that long for nine of ten texts of these lengths.",
        "Judge an int8 mode, another runtime, more threads (--threads), or fewer layers. "
        "`python fit.py profile` shows which operators take the time.",
    ),
    "memory": (
        "The runtime holds the weights as it computes with them: a float16 file is unpacked to "
        "float32, and some runtimes pack the weights once more for each length.",
        "Judge dynamic_range, the runtime litert-compiled, or a smaller model.",
    ),
    "conformance": (
        "The file or the runtime computes something else than the checkpoint.",
        "Judge another runtime or release, or build the file again from this checkpoint.",
    ),
    "footprint": (
        "The quantizer left tensors as they were, or the file is of another mode.",
        "Look at the dtypes in the figures below; name the mode with --mode.",
    ),
    "privacy": (
        "Something in the worker's process opened a connection, wrote a file or started a process.",
        "The sentence names what was tried. Remove the package that does it.",
    ),
    "energy": (
        "A text takes the board more energy than its profile allows.",
        "Judge a faster mode: energy follows time.",
    ),
    "instruction_count": (
        "A text takes more instructions than it may, or their number does not repeat.",
        "Judge an int8 mode or fewer layers; `python fit.py profile` shows where they go.",
    ),
}
