"""Models of their usual size, from files to a verdict: `python -m suites.long.full_size`.

DistilBERT-base, RoBERTa-base and XLM-RoBERTa-base with random weights are built and judged in each
mode by `fit.py judge`. Each line says how long that took, and the memory of the largest process.
Random weights are close to no classifier: the modes of few bits fail their conformance.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from models.modes import MODES
from reports import aggregate
from reports.verdict import Verdict, worst
from suites.selftest import synthetic

ROOT = Path(__file__).parents[2]
WIDE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
# By model_type: pieces, and the fields of config.json that the small checkpoints have otherwise.
SIZES: dict[str, tuple[int, dict[str, Any]]] = {
    "distilbert": (30_522, {"dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072}),
    "roberta": (
        50_265,
        {**WIDE, "intermediate_size": 3072, "max_position_embeddings": 514},
    ),
    "xlm-roberta": (
        250_002,
        {**WIDE, "intermediate_size": 3072, "max_position_embeddings": 514},
    ),
}
CLAIMS = ("conformance", "footprint", "privacy")


def write(folder: Path, kind: str) -> int:
    """Write a checkpoint of the usual size, unless it is there; return its parameters."""
    pieces, fields = SIZES[kind]
    count = folder / "parameters"
    if not count.exists():
        _, model = synthetic.write_checkpoint(folder, kind, vocab_size=pieces, **fields)
        file = folder / "tokenizer.json"
        tokenizer = json.loads(file.read_text())
        vocabulary = tokenizer["model"]["vocab"]
        more = range(len(vocabulary), pieces)
        if tokenizer["model"]["type"] == "Unigram":
            vocabulary += [[f"piece{n}", -20.0] for n in more]
        else:
            vocabulary |= {f"piece{n}": n for n in more}
        file.write_text(json.dumps(tokenizer))
        count.write_text(str(model.num_parameters()))
    return int(count.read_text())


def judge(folder: Path, mode: str, texts: Path) -> tuple[float, float, Any]:
    """Return seconds, GB of the largest process, and the run's verdict file."""
    report = folder.parent / f"report-{folder.name}-{mode}"
    command = [sys.executable, "fit.py", "judge", str(folder), f"--dataset={texts}"]
    command += [f"--mode={mode}", "--runtime=ai-edge-litert", "--preset=smoke", "-q"]
    command += ["-m", f"host and ({' or '.join(CLAIMS)})"]
    command += [f"--report-dir={report}", f"--cache-dir={folder.parent / 'cache'}"]
    started = time.monotonic()
    pid = os.posix_spawn(sys.executable, command, os.environ)
    _, status, used = os.wait4(pid, 0)
    taken = time.monotonic() - started
    if not (report / "verdicts.json").exists():
        raise SystemExit(f"{folder.name} in {mode}: ended with status {status}")
    return taken, used.ru_maxrss * 1024 / 1e9, aggregate.read(report)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "full-size", metavar="DIR")
    parser.add_argument("--kind", action="append", choices=SIZES)
    parser.add_argument("--mode", action="append", choices=MODES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    synthetic.write_dataset(texts := options.out / "texts.csv")
    os.chdir(ROOT)
    print("| architecture | parameters (M) | mode | file (MB) | verdict | minutes | memory (GB) |")
    print("|---|---:|---|---:|---|---:|---:|", flush=True)
    for kind in options.kind or SIZES:
        parameters = write(options.out / kind, kind)
        for mode in options.mode or [mode for mode in MODES if mode != "mixed"]:
            taken, memory, found = judge(options.out / kind, mode, texts)
            claims = [Verdict(r["verdict"]) for r in found["records"] if r["claim"] in CLAIMS]
            size = found["targets"][0]["metrics"].get("size_bytes", 0) / 1e6
            row = [f"`{kind}`", f"{parameters / 1e6:.0f}", f"`{mode}`", f"{size:.0f}"]
            row += [str(worst(claims)), f"{taken / 60:.1f}", f"{memory:.1f}"]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
