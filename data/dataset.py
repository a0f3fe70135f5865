"""A dataset of labelled texts in plain Python values: what readers return and others take."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

POLARITY = ("negative", "neutral", "positive")


class DatasetError(ValueError):
    """Labelled texts that cannot be read or used; the message names the file and what to do."""


@dataclass(frozen=True)
class Dataset:
    """Labelled texts, in order.

    Attributes:
        name: what the report calls them.
        texts: the texts, as their authors wrote them.
        labels: an index into ``label_names`` for each text.
        label_names: the classes, in the order of a classifier's logits.
        entities: the company each text is about, where the source says.
        ids: the texts' own ids, where the source says. One text can be about two companies, so
            a text of the dataset is named by its entity and its id.
        times: when each was written, in seconds since 1970 (UTC), where the source says.
        origins: the text that each is marked as a near-duplicate of, by entity and id, or the
            text itself; where the source marks near-duplicates.
        shareable: whether its texts may be shown in a report.
        met: what its reader met and left out, in texts or files, by name.
    """

    name: str
    texts: tuple[str, ...] = field(repr=False)  # nor ids: some may not be passed on, by a log
    labels: tuple[int, ...]
    label_names: tuple[str, ...]
    entities: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = field(default=None, repr=False)
    times: tuple[int, ...] | None = None
    origins: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)
    shareable: bool = True
    met: dict[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        columns = (self.labels, self.entities, self.ids, self.times, self.origins)
        if any(column is not None and len(column) != len(self.texts) for column in columns):
            raise DatasetError(f"{self.name}: columns of different lengths")
        if self.labels and not 0 <= min(self.labels) <= max(self.labels) < len(self.label_names):
            raise DatasetError(f"{self.name}: a label is outside {list(self.label_names)}")

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int], name: str | None = None) -> Dataset:
        """Return the texts at ``indices``, in that order."""
        columns = ("texts", "labels", "entities", "ids", "times", "origins")
        given = {c: values for c in columns if (values := getattr(self, c)) is not None}
        taken: dict[str, Any] = {
            c: tuple(values[i] for i in indices) for c, values in given.items()
        }
        return replace(self, name=name or self.name, **taken)

    def counts(self) -> dict[str, int]:
        """Return the number of texts of each class, in the order of ``label_names``."""
        seen = Counter(self.labels)
        return {name: seen[index] for index, name in enumerate(self.label_names)}

    def reordered(self, names: Sequence[str]) -> Dataset:
        """Return the same texts with the classes named and ordered as ``names``.

        Names match whatever their case; `checksum` stays the same.

        Raises:
            DatasetError: ``names`` are other classes.
        """
        places = {name.strip().casefold(): index for index, name in enumerate(names)}
        own = [name.strip().casefold() for name in self.label_names]
        if len(places) != len(names) or set(own) != places.keys():
            lacks = len(places) == len(names) and set(own) < places.keys()
            raise DatasetError(
                f"{self.name}: its classes are {', '.join(self.label_names)}, and the checkpoint's "
                f"are {', '.join(names)}; "
                + ("keep those without a text" if lacks else "rename the dataset's")
                + ": add to --dataset the option labels="
                + "/".join(names if lacks else [f"{name}=NAME" for name in self.label_names])
            )
        labels = tuple(places[own[label]] for label in self.labels)
        return replace(self, labels=labels, label_names=tuple(names))

    def checksum(self) -> str:
        """Return the SHA-256 of every text with its class's name, in order.

        Reference outputs are held against it. The order and the case of the names do not count.
        """
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels, strict=True):
            digest.update(json.dumps([text, self.label_names[label].lower()]).encode() + b"\n")
        return digest.hexdigest()

    def stratified(self, count: int) -> list[int]:
        """Return indices of about ``count`` texts, classes in proportion, by a stable hash."""
        chosen: list[int] = []
        for label in range(len(self.label_names)):
            of_label = [i for i, value in enumerate(self.labels) if value == label]
            of_label.sort(key=lambda i: stable_fraction(self.texts[i], "stratified"))
            chosen += of_label[: round(count * len(of_label) / len(self))]
        return sorted(chosen)


def stable_fraction(text: str, salt: str) -> float:
    """Return a number in [0, 1) that depends on ``text`` and ``salt`` alone, on any machine."""
    digest = hashlib.sha256(f"{salt}\0{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
