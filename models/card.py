"""Cards: what a model answered, tweet by tweet, so that it can be judged where it cannot run.

A card holds logits, never only metrics: those are computed anew against the tweets it names by
checksum. It carries a checksum of itself, so an edited card is refused.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.errors import CardError
from tweets.corpus import Corpus
from tweets.measures import scores

SCHEMA = 1


@dataclass(frozen=True)
class Card:
    """The recorded answers of one checkpoint to one set of tweets.

    Attributes:
        name: the checkpoint's.
        weights_sha256, tokenizer_sha256: of the files that hold its weights and its tokenizer.
        size_bytes: of the file that holds its weights.
        parameters: how many numbers the model has.
        corpus, tweets_sha256: which tweets were answered (`Corpus.checksum`).
        label_names: the classes, in the order of the logits.
        predictions: one class index a tweet.
        logits: (tweets, classes), float32, as PyTorch computed them.
        provenance: the command, hyperparameters, splits and versions that made it.
    """

    name: str
    weights_sha256: str
    tokenizer_sha256: str
    size_bytes: int
    parameters: int
    corpus: str
    tweets_sha256: str
    label_names: tuple[str, ...]
    predictions: tuple[int, ...]
    logits: tuple[tuple[float, ...], ...]
    provenance: dict[str, Any]

    @classmethod
    def of(
        cls,
        checkpoint: Path,
        *,
        name: str,
        parameters: int,
        tweets: Corpus,
        logits: list[list[float]],
        provenance: dict[str, Any],
    ) -> Card:
        """A card of ``logits``, one row for each of ``tweets``, given by the ``checkpoint``."""
        rows = tuple(tuple(float(f"{x:.7g}") for x in row) for row in logits)
        weights = checkpoint / "model.safetensors"
        return cls(
            name=name,
            weights_sha256=file_sha256(weights),
            tokenizer_sha256=file_sha256(checkpoint / "tokenizer.json"),
            size_bytes=weights.stat().st_size,
            parameters=parameters,
            corpus=tweets.name,
            tweets_sha256=tweets.checksum(),
            label_names=tweets.label_names,
            predictions=tuple(row.index(max(row)) for row in rows),
            logits=rows,
            provenance=provenance,
        )

    def save(self, path: Path) -> None:
        """Write the card beside ``path``, then rename: it is there whole or not at all."""
        body = json.loads(json.dumps(asdict(self)))
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(json.dumps({"schema": SCHEMA, "sha256": digest(body), **body}) + "\n")
        beside.replace(path)

    @classmethod
    def load(cls, path: Path, command: str | None = None) -> Card:
        """Read a card; ``command`` records it, and is told where it has to be.

        Raises:
            CardError: missing, not a card, or edited since it was recorded.
        """
        record = command or f"python -m models record {path.parent}"
        record_again = f"record it again: {record}"
        try:
            body = json.loads(path.read_text())
            schema, stated = body.pop("schema"), body.pop("sha256")
        except FileNotFoundError:
            raise CardError(
                f"{path}: no card; this records what the checkpoint answers (environment: train; "
                f"with the same --tweets): {record}"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CardError(f"{path}: not a card ({error!r}); {record_again}") from None
        if schema != SCHEMA:
            raise CardError(f"{path}: schema {schema}, this code reads {SCHEMA}; {record_again}")
        if stated != digest(body):
            raise CardError(f"{path}: edited since it was recorded; {record_again}")
        for key in ("label_names", "predictions", "logits"):
            body[key] = tuple(tuple(v) if isinstance(v, list) else v for v in body[key])
        return cls(**body)

    def require(self, tweets: Corpus, checkpoint: Path | None = None) -> None:
        """Check that the card is about exactly these tweets and classes, and this checkpoint.

        Raises:
            CardError: it is about others.
        """
        for file, recorded in (
            ("model.safetensors", self.weights_sha256),
            ("tokenizer.json", self.tokenizer_sha256),
        ):
            if checkpoint and file_sha256(checkpoint / file) != recorded:
                raise CardError(f"card of {self.name}: recorded with another {file}; record again")
        if self.label_names != tweets.label_names:
            raise CardError(
                f"card of {self.name}: labels {self.label_names}, tweets {tweets.label_names}"
            )
        if self.tweets_sha256 != tweets.checksum():
            raise CardError(
                f"card of {self.name}: it answers other tweets ({self.corpus}, "
                f"{len(self.logits)}) than {tweets.name} ({len(tweets)}); record it again on these"
            )

    def figures(self, tweets: Corpus) -> dict[str, Any]:
        """What the model is and how it answers: name, parameters, bytes (of float32 weights, and of
        them with Adam's two moments: 4 and 12 bytes a parameter), and `tweets.measures.scores`."""
        return {
            "name": self.name,
            "parameters": self.parameters,
            "weights_bytes": 4 * self.parameters,
            "training_checkpoint_bytes": 12 * self.parameters,
            **scores(tweets, self.predictions),
        }


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def software_versions(*packages: str) -> dict[str, str]:
    """Installed versions of ``packages``."""
    return {name: importlib.metadata.version(name) for name in packages}


def digest(body: Mapping[str, Any]) -> str:
    """SHA-256 of what a JSON object says, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
