"""A bundle of the shipped candidate and few tweets, so that a whole run takes seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models import bundle
from models.card import Card
from models.checkpoint import open_checkpoint
from models.modes import flatbuffer
from models.store import Store
from tweets.splits import Splits

MODE = "dynamic_range"


def write(out: Path, checkpoint: Path, reference: Path, splits: Splits, store: Store) -> Path:
    """A bundle of `MODE` with a hundred tweets, and the given cards cut down to these."""
    chosen = splits.evaluation.stratified(100)
    tweets = splits.evaluation.take(chosen)
    scratch = out.with_suffix(".files")
    for source, folder in ((checkpoint, scratch / "candidate"), (reference, scratch / "reference")):
        folder.mkdir(parents=True)
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            if (source / name).exists():
                (folder / name).symlink_to(source / name)
        card = Card.load(source / "card.json")
        replace(
            card,
            tweets_sha256=tweets.checksum(),
            predictions=tuple(card.predictions[i] for i in chosen),
            logits=tuple(card.logits[i] for i in chosen),
        ).save(folder / "card.json")
    candidate = open_checkpoint(str(scratch / "candidate"))
    path = flatbuffer(MODE, candidate, store, splits.calibration)
    few = replace(splits, evaluation=tweets)
    bundle.write(out, candidate, scratch / "reference", few, {MODE: path})
    return out
