"""Deduplicated, disjoint splits.

The rule: two texts are near-duplicates when the token sets of their normalised texts have a Jaccard
similarity of at least 0.8, or when the dataset marks them so; normalising drops case, links,
mentions and a leading "RT". Of a group connected by such pairs one text stays, the first in the
source, so no group stands on two sides. What stays goes to a split by a hash of its normalised
text: the same text always falls on the same side, on every machine and whatever else the dataset
holds.

Where the dataset says when its texts were written, the evaluation split is the last fifth of each
entity instead, as a model meets texts that are later than those it learned from; the hash shares
the others among the remaining splits, in their own proportions.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from data.dataset import Dataset, DatasetError, stable_fraction

SIMILARITY = 0.8
SHARES = {"evaluation": 0.18, "calibration": 0.04, "validation": 0.05, "train": 0.73}
LATEST = 0.2  # the share of each entity that is the evaluation split where times are known

_ENDS = dict(zip(SHARES, [*[*accumulate(SHARES.values())][:-1], 1.0], strict=True))
_NOISE = re.compile(r"https?://\S*|@\w+|^\s*rt\b|\brt\s+(?=@)")


@dataclass(frozen=True)
class Splits:
    """The splits of one dataset, and what was dropped to make them."""

    train: Dataset
    validation: Dataset
    calibration: Dataset
    evaluation: Dataset
    duplicates: int

    def describe(self) -> dict[str, str]:
        """Counts and checksums of every split, as reports and reference outputs carry them."""
        marked = "" if self.train.origins is None else " or marked by the dataset"
        described = {
            "dropped": f"{self.duplicates} near-duplicates, Jaccard >= {SIMILARITY}{marked}"
        }
        if self.train.met:
            described["read"] = "; ".join(f"{what}: {n}" for what, n in self.train.met.items())
        if self.train.times is not None:
            described["held out"] = f"the last {LATEST:.0%} of each entity by time"
        for name in SHARES:
            part: Dataset = getattr(self, name)
            counts = ", ".join(f"{count} {label}" for label, count in part.counts().items())
            described[name] = f"{len(part)} texts ({counts}), sha256 {part.checksum()}"
        return described


def load_splits(spec: str) -> Splits:
    """Read the dataset that ``--dataset`` names, and split it.

    Raises:
        DatasetError: it cannot be read, or a split ends up empty.
    """
    from data.readers import read

    name, _, options = spec.partition(":")
    given = dict(option.split("=", 1) for option in options.split(",") if "=" in option)
    if name == "replab2013":
        root, text = given.get("root"), given.get("text")
        return split(read(name, Path(root) if root else None, Path(text) if text else None))
    return split(read(spec))


def split(dataset: Dataset) -> Splits:
    """Drop near-duplicates and share the rest out.

    Raises:
        DatasetError: a split ends up with no text.
    """
    groups = near_duplicates(dataset.texts, dataset.origins)
    kept = [i for i, group in enumerate(groups) if i == group]
    parts: dict[str, list[int]] = {name: [] for name in SHARES}
    latest = _latest(dataset.times, dataset.entities, kept) if dataset.times else set()
    for i in kept:
        # A hash of the normalised text, so that an edited link does not move a text.
        fraction = stable_fraction(normalise(dataset.texts[i]), "split")
        if dataset.times:  # into the evaluation split's range of the hash, or into the others'
            start = _ENDS["evaluation"]
            fraction = 0.0 if i in latest else start + (1 - start) * fraction
        parts[next(name for name, end in _ENDS.items() if fraction < end)].append(i)
    for name, indices in parts.items():
        if not indices:
            raise DatasetError(
                f"{dataset.name}: no text left for {name}: {len(dataset)} read, "
                f"{len(kept)} after near-duplicates were dropped. Bring more texts."
            )
    return Splits(
        **{name: dataset.take(indices) for name, indices in parts.items()},
        duplicates=len(dataset) - len(kept),
    )


def _latest(times: tuple[int, ...], entities: tuple[str, ...] | None, kept: list[int]) -> set[int]:
    """Of the texts ``kept``, the last `LATEST` of each entity; of equal times, the last read."""
    by_entity: dict[str, list[int]] = {}
    for i in sorted(kept, key=times.__getitem__):
        by_entity.setdefault(entities[i] if entities else "", []).append(i)
    return {i for of in by_entity.values() for i in of[len(of) - round(LATEST * len(of)) :]}


def normalise(text: str) -> str:
    """The words that make a text what it is: no target, links, mentions, retweet mark."""
    folded = unicodedata.normalize("NFKC", html.unescape(text)).casefold()
    return " ".join(re.findall(r"\w+", _NOISE.sub(" ", folded)))


def near_duplicates(
    texts: tuple[str, ...], origins: tuple[tuple[str, str], ...] | None = None
) -> list[int]:
    """For each text the index of the first text of its group of near-duplicates.

    A text with no word left after normalising is compared by its characters instead. Texts of the
    same origin, where the dataset says (`Dataset.origins`), are of one group whatever their words.
    """
    from SetSimilaritySearch import all_pairs

    normalised = [normalise(text) for text in texts]
    first: dict[str, int] = {}
    parent = list(range(len(texts)))
    for i, text in enumerate(normalised):
        parent[i] = first.setdefault(" ".join(sorted(set(text.split()))) or texts[i].strip(), i)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    def join(a: int, b: int) -> None:
        lower, upper = sorted((root(a), root(b)))
        parent[upper] = lower

    marked: dict[tuple[str, str], int] = {}
    for i, origin in enumerate(origins or ()):
        join(marked.setdefault(origin, i), i)
    distinct = [i for i in first.values() if normalised[i]]
    token_sets = [set(normalised[i].split()) for i in distinct]
    if len(token_sets) > 1:
        pairs = all_pairs(
            token_sets, similarity_func_name="jaccard", similarity_threshold=SIMILARITY
        )
        for a, b, _ in pairs:
            join(distinct[a], distinct[b])
    return [root(i) for i in range(len(texts))]
