"""Reference outputs: the logits of a model, text by text, so that it can be judged where it cannot
run.

The file holds logits, never only metrics: those are computed again from the texts, which it names
by checksum. It carries a checksum of itself, so an edited file is refused.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from common import atomic, json_file
from common.argtypes import SHORTEST
from common.checksum import file_sha256
from common.json_file import JsonError
from data.dataset import Dataset
from data.metrics import scores
from models.checkpoints import lengths as signature_lengths
from models.checkpoints import weights
from models.checkpoints.labels import match_labels
from models.checkpoints.probes import Probe, checksum
from models.errors import ReferenceOutputsError

SCHEMA = 4
TOKENIZER = "tokenizer.json"
# What schema 1 called two fields. Schemas 1 and 2 say no lengths, and 1 to 3 have no probes.
_TUPLES = {"label_names", "predictions", "logits", "lengths", "probe_logits"}
_RENAMED = {"corpus": "dataset", "tweets_sha256": "samples_sha256"}


@dataclass(frozen=True)
class ReferenceOutputs:
    """The recorded logits of one checkpoint for one set of texts.

    Attributes:
        name: the checkpoint's.
        weights_sha256, tokenizer_sha256: of the files that hold its weights and its tokenizer.
        size_bytes: of the file that holds its weights.
        parameters: how many numbers the model has.
        dataset, samples_sha256: which texts they are of (`Dataset.checksum`).
        label_names: the classes, in the order of the logits.
        predictions: one class index a text.
        logits: (texts, classes), float32, as PyTorch computed them.
        provenance: the command, hyperparameters, splits and versions that made it.
        lengths: tokens of each signature that they are held against; texts were cut at the longest.
        probes_sha256: which probes were asked (`models.checkpoints.probes.checksum`).
        probe_logits: (probes, classes), as PyTorch computed them.
    """

    name: str
    weights_sha256: str
    tokenizer_sha256: str
    size_bytes: int
    parameters: int
    dataset: str
    samples_sha256: str
    label_names: tuple[str, ...]
    predictions: tuple[int, ...]
    logits: tuple[tuple[float, ...], ...]
    provenance: dict[str, Any]
    lengths: tuple[int, ...] = signature_lengths.DEFAULT
    probes_sha256: str = ""
    probe_logits: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(
        cls,
        checkpoint: Path,
        *,
        name: str,
        parameters: int,
        dataset: Dataset,
        logits: list[list[float]],
        provenance: dict[str, Any],
        lengths: Sequence[int] = signature_lengths.DEFAULT,
        probes: Sequence[Probe] = (),
        probe_logits: Sequence[Sequence[float]] = (),
    ) -> ReferenceOutputs:
        """Make them of ``logits``, one row for each text, and the files of ``checkpoint``."""
        rows = rounded(logits)
        return cls(
            name=name,
            weights_sha256=weights.sha256(checkpoint),
            tokenizer_sha256=file_sha256(checkpoint / TOKENIZER),
            size_bytes=weights.size(checkpoint),
            parameters=parameters,
            dataset=dataset.name,
            samples_sha256=dataset.checksum(),
            label_names=dataset.label_names,
            predictions=tuple(row.index(max(row)) for row in rows),
            logits=rows,
            provenance=provenance,
            lengths=tuple(lengths),
            probes_sha256=checksum(probes) if probes else "",
            probe_logits=rounded(probe_logits),
        )

    def save(self, path: Path) -> None:
        """Write the file; it is complete or not there."""
        body = json.loads(json.dumps(asdict(self)))
        content = {"schema": SCHEMA, "sha256": digest(body), **body}
        atomic.write_text(path, json.dumps(content) + "\n")

    @classmethod
    def load(cls, path: Path, command: str | None = None) -> ReferenceOutputs:
        """Read reference outputs; ``command`` is what an error says to record them again.

        Raises:
            ReferenceOutputsError: missing, not reference outputs, or edited since it was recorded.
        """
        record = command or f"python fit.py record {path.parent}"
        record_again = f"record it again: {record}"
        try:
            body = json_file.read_object(path)
            schema, stated = body.pop("schema"), body.pop("sha256")
        except FileNotFoundError:
            raise ReferenceOutputsError(
                f"{path}: no reference outputs; this records them (environment: train; "
                f"with the same --dataset): {record}"
            ) from None
        except (JsonError, KeyError) as error:
            raise ReferenceOutputsError(
                f"{path}: not reference outputs ({error}); {record_again}"
            ) from None
        if schema not in range(1, SCHEMA + 1):
            raise ReferenceOutputsError(
                f"{path}: schema {schema!r:.60}, this code reads {SCHEMA}; {record_again}"
            )
        if stated != digest(body):
            raise ReferenceOutputsError(f"{path}: edited since it was recorded; {record_again}")
        body = {_RENAMED.get(key, key): value for key, value in body.items()}
        try:
            json_file.conform(body, cls)
            _check_shapes(body)
        except JsonError as error:
            raise ReferenceOutputsError(f"{path}: {error}; {record_again}") from None
        for key in body.keys() & _TUPLES:
            body[key] = tuple(tuple(v) if isinstance(v, list) else v for v in body[key])
        return cls(**body)

    def require(self, dataset: Dataset, checkpoint: Path | None = None) -> None:
        """Check that they are of exactly these texts and classes, and of this checkpoint.

        Raises:
            ReferenceOutputsError: they are of others.
        """
        if checkpoint:
            for file, now, recorded in (
                (weights.FILE, weights.sha256(checkpoint), self.weights_sha256),
                (TOKENIZER, file_sha256(checkpoint / TOKENIZER), self.tokenizer_sha256),
            ):
                if now != recorded:
                    raise ReferenceOutputsError(
                        f"reference outputs of {self.name}: recorded with another {file}; "
                        "record again"
                    )
        if self.label_names != dataset.label_names:
            raise ReferenceOutputsError(
                f"reference outputs of {self.name}: labels {self.label_names}, "
                f"texts {dataset.label_names}"
            )
        if self.samples_sha256 != dataset.checksum():
            raise ReferenceOutputsError(
                f"reference outputs of {self.name}: they are of other texts ({self.dataset}, "
                f"{len(self.logits)}) than {dataset.name} ({len(dataset)}); record them on these"
            )

    def reordered(self, names: Sequence[str]) -> ReferenceOutputs:
        """Return the same outputs with the classes named and ordered as ``names``.

        Raises:
            ReferenceOutputsError: ``names`` are other classes.
        """
        if self.label_names == tuple(names):
            return self
        order = match_labels(self.label_names, names)
        if isinstance(order, str):
            raise ReferenceOutputsError(f"reference outputs of {self.name}: {order}")
        logits, probe_logits = (
            tuple(tuple(row[i] for i in order) for row in rows)
            for rows in (self.logits, self.probe_logits)
        )
        predictions = tuple(row.index(max(row)) for row in logits)
        return replace(
            self,
            label_names=tuple(names),
            logits=logits,
            predictions=predictions,
            probe_logits=probe_logits,
        )

    def holds_probes(self, probes: Sequence[Probe]) -> bool:
        """Return whether the logits of exactly these probes are recorded."""
        known = len(self.probe_logits) == len(probes)
        return known and self.probes_sha256 == checksum(probes)

    def figures(self, dataset: Dataset) -> dict[str, Any]:
        """Return its name, parameters, bytes and `data.metrics.scores`.

        Bytes are those of float32 weights (4 a parameter) and of a training checkpoint with Adam's
        two moments (12 a parameter).
        """
        return {
            "name": self.name,
            "parameters": self.parameters,
            "weights_bytes": 4 * self.parameters,
            "training_checkpoint_bytes": 12 * self.parameters,
            **scores(dataset, self.predictions),
        }


def rounded(logits: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    """Return logits as they are recorded, to seven digits."""
    return tuple(tuple(float(f"{x:.7g}") for x in row) for row in logits)


def _check_shapes(body: Mapping[str, Any]) -> None:
    """Raise JsonError unless there is a logit for each class, and a class for each text."""
    classes, rows, lengths = (body.get(key) for key in ("label_names", "logits", "lengths"))
    assert classes is not None and rows is not None
    if len(set(classes)) < max(2, len(classes)):
        raise JsonError("$.label_names: not two or more different classes")
    if any(len(row) != len(classes) for row in rows):
        raise JsonError(f"$.logits: not {len(classes)} of each text")
    if any(len(row) != len(classes) for row in body.get("probe_logits", ())):
        raise JsonError(f"$.probe_logits: not {len(classes)} of each probe")
    if len(body["predictions"]) != len(rows):
        raise JsonError(f"$.predictions: {len(body['predictions'])} of {len(rows)} texts")
    if not all(0 <= index < len(classes) for index in body["predictions"]):
        raise JsonError("$.predictions: one is of no class")
    if lengths is not None and (not lengths or min(lengths) < SHORTEST):
        raise JsonError(f"$.lengths: not one or more, of at least {SHORTEST} tokens")


def software_versions(*packages: str) -> dict[str, str]:
    """Installed versions of ``packages``."""
    return {name: importlib.metadata.version(name) for name in packages}


def digest(body: Mapping[str, Any]) -> str:
    """SHA-256 of what a JSON object says, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
