"""Deduplicated, disjoint splits.

Two texts are near-duplicates when the token sets of their normalized texts have a Jaccard
similarity of at least 0.8, or when the dataset marks them so. Normalizing drops case, links,
mentions and a leading "RT".

**A source with one pool of texts.** Of a group connected by near-duplicates one text stays, the
first in the source, so no group is in two splits. A hash of its normalized text decides on the
split: a text is in the same split on every machine and whatever else the dataset holds. Where the
dataset says when its texts were written, the evaluation split is the last fifth of each entity
instead, as a model meets texts that are later than those it learned from; the hash shares the
others among the remaining splits, in their own proportions.

**A source with splits of its own.** Its test split is the evaluation split; where it has none, or
hides its labels, its validation split is. Calibration, and validation where it is not given, are
drawn from train by the same hash. Of near-duplicates across splits, those in the evaluation split
stay, then those in validation.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from data import readers
from data.dataset import Dataset, DatasetError, stable_fraction

SIMILARITY = 0.8
SHARES = {"evaluation": 0.18, "calibration": 0.04, "validation": 0.05, "train": 0.73}
LATEST = 0.2  # the share of each entity that is the evaluation split where times are known

_NOISE = re.compile(r"https?://\S*|@\w+|^\s*rt\b|\brt\s+(?=@)")


@dataclass(frozen=True)
class Splits:
    """The splits of one dataset, and what was dropped to make them.

    Attributes:
        duplicates: the number of near-duplicates that were dropped.
        rule: where the splits come from, for the report.
        caveat: what the report has to say of a checkpoint whose training texts are unknown.
    """

    train: Dataset
    validation: Dataset
    calibration: Dataset
    evaluation: Dataset
    duplicates: int
    rule: str = ""
    caveat: str = ""

    def describe(self) -> dict[str, str]:
        """Return counts and checksums of every split, for reports and reference outputs."""
        marked = "" if self.train.origins is None else " or marked by the dataset"
        described = {
            "rule": self.rule,
            "dropped": f"{self.duplicates} near-duplicates, Jaccard >= {SIMILARITY}{marked}",
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

    def limits(self) -> list[str]:
        """Return what the evaluation texts cannot show, a sentence each."""
        said = []
        if self.evaluation.times is None:
            said.append("the texts have no times: whether the drop grows over time is not shown")
        entities, learned = set(self.evaluation.entities or ()), set(self.train.entities or ())
        if entities and (shared := len(entities & learned)):
            said.append(
                f"{shared} of the {len(entities)} entities of the evaluation texts are in the "
                "training texts too: what the drop is for a new entity is not shown"
            )
        return said

    def reordered(self, names: Sequence[str]) -> Splits:
        """Return the same splits with the classes named and ordered as ``names``.

        Raises:
            DatasetError: ``names`` are other classes.
        """
        if self.evaluation.label_names == tuple(names):
            return self
        return replace(self, **{name: getattr(self, name).reordered(names) for name in SHARES})

    def is_train_of(self, provenance: Mapping[str, Any]) -> bool:
        """Return whether reference outputs' provenance says that these texts were learned from.

        If so, the evaluation texts are new to the checkpoint, and `caveat` does not apply.
        """
        return self.train.checksum() in json.dumps(provenance.get("splits", ""))


def load_splits(spec: str) -> Splits:
    """Read the dataset that ``--dataset`` names, and split it.

    Args:
        spec: a reader's name, a file, a folder or a hub id, perhaps with options
            (``NAME:key=value,key=value``; `data.readers.describe`).

    Raises:
        DatasetError: it cannot be read, or a split ends up empty.
    """
    found = readers.load(spec)
    return split(found) if isinstance(found, Dataset) else own_splits(found)


def split(dataset: Dataset) -> Splits:
    """Drop near-duplicates from one pool of texts and share the others out.

    Raises:
        DatasetError: a split ends up with no text.
    """
    groups = near_duplicates(dataset.texts, dataset.origins)
    kept = [i for i, group in enumerate(groups) if i == group]
    latest = _latest(dataset.times, dataset.entities, kept) if dataset.times else set()
    if dataset.times:
        parts = _shares(dataset, [i for i in kept if i not in latest], "evaluation")
        parts["evaluation"] = [i for i in kept if i in latest]
    else:
        parts = _shares(dataset, kept)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in SHARES.items())
    rule = f"from one pool of texts, by a hash of each: {shares}"
    return Splits(
        **_taken({name: (dataset, indices) for name, indices in parts.items()}),
        duplicates=len(dataset) - len(kept),
        rule="evaluation by time, the others by a hash of each text" if dataset.times else rule,
        caveat=(
            f"{dataset.name} has no splits of its own: the evaluation texts are a sample of all "
            "its texts. A checkpoint that was trained on them elsewhere has seen the answers, and "
            "its accuracy here is too high."
        ),
    )


def own_splits(parts: Mapping[str, Dataset]) -> Splits:
    """Respect the splits that a source has: at least two of "train", "validation" and "test".

    Raises:
        DatasetError: a split ends up with no text.
    """
    order = [name for name in ("test", "validation", "train") if name in parts]
    held_out, learned, given = order[0], order[-1], order[1:-1]
    texts = tuple(text for name in order for text in parts[name].texts)
    groups = near_duplicates(texts)
    kept: dict[str, list[int]] = {}
    start = 0
    for name in order:  # a group's number is the index of its first text
        end = start + len(parts[name])
        kept[name] = [i - start for i in range(start, end) if groups[i] >= start]
        start = end
    source = parts[learned]
    shared = _shares(source, kept[learned], "evaluation", *given)
    drawn = " and ".join(name for name in ("calibration", "validation") if name in shared)
    where = {name: (source, indices) for name, indices in shared.items()}
    where |= {name: (parts[name], kept[name]) for name in given}
    where["evaluation"] = (parts[held_out], kept[held_out])
    selected = ", on which checkpoints are often selected" if held_out == "validation" else ""
    return Splits(
        **_taken(where),
        duplicates=len(texts) - sum(map(len, kept.values())),
        rule=(
            f"the source's own: evaluation is its {held_out} split; {drawn} drawn from its "
            f"{learned} split by a hash of each text"
        ),
        caveat=(
            f"The evaluation texts are the {held_out} split of {source.name}{selected}. If the "
            "checkpoint learned from them too, which is not known here, its accuracy is too high."
        ),
    )


def _shares(dataset: Dataset, kept: list[int], *leave_out: str) -> dict[str, list[int]]:
    """Share texts out among the splits that are not left out, in the splits' own proportions."""
    names = [name for name in SHARES if name not in leave_out]
    total = sum(SHARES[name] for name in names)
    ends = [*accumulate(SHARES[name] / total for name in names)][:-1]
    shared: dict[str, list[int]] = {name: [] for name in names}
    for i in kept:
        # A hash of the normalized text, so that an edited link does not move a text.
        fraction = stable_fraction(normalize(dataset.texts[i]), "split")
        shared[names[sum(fraction >= end for end in ends)]].append(i)
    return shared


def _taken(parts: Mapping[str, tuple[Dataset, list[int]]]) -> dict[str, Any]:
    """Return each split's texts; raise DatasetError where one has none."""
    for name, (dataset, indices) in parts.items():
        if not indices:
            left = sum(len(of) for _, of in parts.values())
            raise DatasetError(
                f"{dataset.name}: no text left for {name}: {left} texts after near-duplicates were "
                "dropped; add more texts"
            )
    return {name: dataset.take(indices) for name, (dataset, indices) in parts.items()}


def _latest(times: tuple[int, ...], entities: tuple[str, ...] | None, kept: list[int]) -> set[int]:
    """Return the last `LATEST` of each entity's texts ``kept``; of equal times, the last read."""
    by_entity: dict[str, list[int]] = {}
    for i in sorted(kept, key=times.__getitem__):
        by_entity.setdefault(entities[i] if entities else "", []).append(i)
    return {i for of in by_entity.values() for i in of[len(of) - round(LATEST * len(of)) :]}


def normalize(text: str) -> str:
    """Return a text's words, without case, links, mentions and a mark of a retweet."""
    folded = unicodedata.normalize("NFKC", html.unescape(text)).casefold()
    return " ".join(re.findall(r"\w+", _NOISE.sub(" ", folded)))


def near_duplicates(
    texts: tuple[str, ...], origins: tuple[tuple[str, str], ...] | None = None
) -> list[int]:
    """Return for each text the index of the first text of its group of near-duplicates.

    A text with no word left after normalizing is compared by its characters instead. Texts of the
    same origin, where the dataset says (`Dataset.origins`), are of one group whatever their words.
    """
    from SetSimilaritySearch import all_pairs

    normalized = [normalize(text) for text in texts]
    first: dict[str, int] = {}
    parent = list(range(len(texts)))
    for i, text in enumerate(normalized):
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
    distinct = [i for i in first.values() if normalized[i]]
    token_sets = [set(normalized[i].split()) for i in distinct]
    if len(token_sets) > 1:
        pairs = all_pairs(
            token_sets, similarity_func_name="jaccard", similarity_threshold=SIMILARITY
        )
        for a, b, _ in pairs:
            join(distinct[a], distinct[b])
    return [root(i) for i in range(len(texts))]
