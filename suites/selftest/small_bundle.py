"""A bundle of the shipped candidate and few texts, so that a whole run takes seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from common.cache import Cache
from data.splits import Splits
from models import modes
from models.checkpoints import bundle
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs

MODE = "dynamic_range"


def write(out: Path, checkpoint: Path, reference: Path, splits: Splits, cache: Cache) -> Path:
    """A bundle of `MODE` with a hundred texts, and the given reference outputs cut down to
    these."""
    chosen = splits.evaluation.stratified(100)
    dataset = splits.evaluation.take(chosen)
    scratch = out.with_suffix(".files")
    for source, folder in ((checkpoint, scratch / "candidate"), (reference, scratch / "reference")):
        folder.mkdir(parents=True)
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            if (source / name).exists():
                (folder / name).symlink_to(source / name)
        reference_outputs = ReferenceOutputs.load(source / "reference_outputs.json")
        replace(
            reference_outputs,
            samples_sha256=dataset.checksum(),
            predictions=tuple(reference_outputs.predictions[i] for i in chosen),
            logits=tuple(reference_outputs.logits[i] for i in chosen),
        ).save(folder / "reference_outputs.json")
    candidate = open_checkpoint(str(scratch / "candidate"))
    path = modes.build(MODE, candidate, cache, splits.calibration)
    few = replace(splits, evaluation=dataset)
    bundle.write(out, candidate, scratch / "reference", few, {MODE: path})
    return out
