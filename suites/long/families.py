"""A checkpoint of each family that reads other tokens, trained on tweets and judged in every mode.

`python -m suites.long.families`: an encoder of two layers with random weights, with a tokenizer of
its own kind trained on the train split, is fine-tuned by `fit.py finetune` and judged by `fit.py
judge`. The drop is what quantization alone costs. Nothing of it ships.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.framing import Framing
from data.splits import load_splits
from models.modes import MODES
from reports import aggregate
from suites.selftest import synthetic

ROOT = Path(__file__).parents[2]
KINDS = ("distilbert", "roberta", "electra", "albert")
PIECES = 4000
# ALBERT's layers, which are one, learn nothing at the others' rate.
LEARNING_RATE = {"albert": 2e-4}
WIDTH, LAYERS, HEADS, INNER = 128, 2, 2, 512
# What DistilBERT calls these.
_OTHERWISE = {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER}
_USUAL = {
    "hidden_size": WIDTH,
    "embedding_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
}


def encoder(kind: str, folder: Path, texts: Sequence[str]) -> Path:
    """Write an encoder with random weights, and its tokenizer; return the folder."""
    import torch
    from transformers import AutoConfig, AutoModel

    tokenizer = synthetic.write_tokenizer(folder, kind, texts, PIECES)
    pad = Framing(tokenizer).pad
    sizes = _OTHERWISE if kind == "distilbert" else _USUAL
    config = AutoConfig.for_model(
        kind, vocab_size=tokenizer.get_vocab_size(), pad_token_id=pad, **sizes
    )
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def _fit(*arguments: str) -> None:
    command = [sys.executable, str(ROOT / "fit.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)}: exit status {done.returncode}")


def train_and_judge(kind: str, out: Path, texts: Sequence[str], epochs: float) -> list[Any]:
    """Return the targets of a family's run."""
    trained, report = out / kind, out / f"report-{kind}"
    if not (trained / "reference_outputs.json").exists():
        start = encoder(kind, out / f"{kind}-encoder", texts)
        how = ["--epochs", str(epochs), "--learning-rate", str(LEARNING_RATE.get(kind, 5e-4))]
        _fit("finetune", str(start), *how, "--out", str(trained))
    given = [f"--mode={mode}" for mode in MODES if mode != "mixed"]
    given += ["--preset=quick", "--runtime=ai-edge-litert", f"--reference={trained}", "-q"]
    claims = "host and (accuracy or footprint or conformance or privacy)"
    _fit("judge", str(trained), "-m", claims, f"--report-dir={report}", *given)
    return list(aggregate.read(report)["targets"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "families", metavar="DIR")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--kind", action="append", choices=KINDS)
    options = parser.parse_args()
    texts = load_splits("brands").train.texts
    lines = [
        "| architecture | mode | size (MB) | accuracy | drop ≤ | balanced drop ≤ | agreement |"
    ]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for kind in options.kind or KINDS:
        for found in train_and_judge(kind, options.out, texts, options.epochs):
            values = found["metrics"]
            figures = [f"{values['size_bytes'] / 1e6:.2f}"] if "size_bytes" in values else ["–"]
            for key in ("accuracy", "drop_upper", "balanced_drop_upper", "agreement"):
                figures.append(f"{values[key]:.1f}" if key in values else "–")
            lines.append(f"| `{kind}` | `{found['target']['mode']}` | {' | '.join(figures)} |")
        print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
