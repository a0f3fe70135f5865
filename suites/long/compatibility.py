"""The table of what runs where: `python -m suites.long.compatibility --out FILE.md`.

A small checkpoint of each architecture, with random weights, is recorded in PyTorch, built in each
mode, and judged by every claim that is not timed or weighed, on each runtime, on this machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import atomic
from devices.runtimes import RUNTIMES
from fixtures.options import modes_of
from models.architectures import architectures
from reports import aggregate
from reports.verdict import PASSING, Verdict, worst
from suites.selftest import synthetic

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "reports" / "runs" / "compatibility"
CLAIMS = ("accuracy", "conformance", "privacy")
TOKENIZERS = {"roberta": "byte pairs", "albert": "unigrams"}
HEAD = """# Compatibility

Which architecture runs in which mode on which runtime. Each cell is the verdict on a small
checkpoint of that architecture with random weights: accuracy, conformance and privacy, on an x86-64
machine. Nothing here was timed. Your checkpoint gets a verdict of its own.

Made by `tox run -e compatibility` on {date}, with {releases}.
"""


def judge(kind: str, folder: Path) -> list[Any]:
    """Judge a small checkpoint of an architecture; return the records of the run."""
    synthetic.write_checkpoint(folder / kind, kind)
    synthetic.write_dataset(folder / "texts.csv")
    records: list[Any] = []
    for modes, runtimes in _matrices():
        report = folder / f"report-{kind}-{runtimes[0]}"
        command = [sys.executable, "fit.py", "judge", str(folder / kind)]
        command += ["--dataset", str(folder / "texts.csv"), "--report-dir", str(report)]
        command += ["--cache-dir", str(ROOT / ".cache"), "--preset", "smoke", "-q"]
        command += [f"--mode={mode}" for mode in modes]
        command += [f"--runtime={runtime}" for runtime in runtimes]
        command += ["-m", f"host and ({' or '.join(CLAIMS)})"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if not (report / "verdicts.json").exists():
            raise SystemExit(f"{kind}: {done.stdout}{done.stderr}")
        records += aggregate.read(report / "verdicts.json")["records"]
    return records


def _matrices() -> list[tuple[list[str], list[str]]]:
    """Return what can be judged in one run: the runtimes that take the same modes."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for runtime in RUNTIMES:
        alike.setdefault(tuple(modes_of(runtime)), []).append(runtime)
    return [([m for m in modes if m != "mixed"], runtimes) for modes, runtimes in alike.items()]


def cells(records: list[Any]) -> dict[tuple[str, str], tuple[Verdict, str]]:
    """Return by runtime and mode the worst verdict, and why."""
    out: dict[tuple[str, str], tuple[Verdict, str]] = {}
    for record in records:
        where = record["target"]["runtime"], record["target"]["mode"]
        if record["claim"] in CLAIMS:
            found = Verdict(record["verdict"]), record["reason"]
            out[where] = max(out.get(where, (Verdict.PASSES, "")), found, key=_rank)
    return out


def _rank(found: tuple[Verdict, str]) -> bool:
    return found[0] not in PASSING


def table(found: Mapping[str, dict[tuple[str, str], tuple[Verdict, str]]]) -> str:
    """Return a Markdown table for each runtime, and what does not pass below it."""
    lines: list[str] = []
    for runtime in RUNTIMES:
        modes = [mode for mode in modes_of(runtime) if mode != "mixed"]
        lines += [f"## `{runtime}`", ""]
        lines.append(f"| architecture | {' | '.join(f'`{mode}`' for mode in modes)} |")
        lines.append("|---" * (len(modes) + 1) + "|")
        notes = []
        for kind, by_target in sorted(found.items()):
            row = []
            for mode in modes:
                verdict, reason = by_target.get((runtime, mode), (Verdict.INVALID, "not judged"))
                row.append(str(verdict))
                if verdict not in PASSING:
                    notes.append(f"- `{kind}` in `{mode}`: {verdict}: {reason.splitlines()[0]}")
            lines.append(f"| `{kind}` | {' | '.join(row)} |")
        lines += ["", *notes, *([""] if notes else [])]
    return "\n".join(lines)


TAIL = """## Tokenizers

Whatever `tokenizers` reads. What frames a text comes from tokenizer.json.

| kind | architectures | cutting the vocabulary |
|---|---|---|
| word pieces | BERT, MobileBERT, DistilBERT, ELECTRA | yes |
| byte pairs | RoBERTa and its relatives | yes |
| unigrams | ALBERT, XLM-RoBERTa | yes |

## Model files of other toolchains

[judge-a-model-file](../how-to/judge-a-model-file.md) lists what toolchains name things, and what
was tried.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    kinds = sorted(architectures())
    parser.add_argument("--kind", action="append", choices=kinds, help="judge these alone again")
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kind or kinds:
            found = cells(judge(kind, Path(folder)))
            told = {" ".join(key): [str(verdict), why] for key, (verdict, why) in found.items()}
            atomic.write_text(KEPT / f"{kind}.json", json.dumps(told) + "\n")
            print(kind, worst(verdict for verdict, _ in found.values()), flush=True)
    known = {kind: _kept(kind) for kind in kinds if (KEPT / f"{kind}.json").exists()}
    releases = ", ".join(runtime.requirements[0] for runtime in RUNTIMES.values())
    head = HEAD.format(date=f"{datetime.now(UTC):%Y-%m-%d}", releases=releases)
    atomic.write_text(options.out, f"{head}\n{table(known)}\n{TAIL}")
    print(options.out)


def _kept(kind: str) -> dict[tuple[str, str], tuple[Verdict, str]]:
    """Return what an architecture came to the last time."""
    body = json.loads((KEPT / f"{kind}.json").read_text())
    split = {tuple(key.split()): (Verdict(word), why) for key, (word, why) in body.items()}
    return {(runtime, mode): value for (runtime, mode), value in split.items()}


if __name__ == "__main__":
    main()
