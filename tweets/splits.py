"""Deduplicated, disjoint splits.

The rule: two tweets are near-duplicates when the token sets of their normalised texts have a
Jaccard similarity of at least 0.8, or when the corpus marks them so; normalising drops case, links,
mentions and a leading "RT". Of a group connected by such pairs one tweet stays, the first in the
source, so no group stands on two sides. What stays goes to a split by a hash of its normalised
text: the same tweet always falls on the same side, on every machine and whatever else the corpus
holds.

Where the corpus says when its tweets were written, the evaluation split is the last fifth of each
entity instead, as a model meets tweets that are later than those it learned from; the hash shares
the others among the remaining splits, in their own proportions.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from itertools import accumulate

from tweets.corpus import Corpus, TweetsError, stable_fraction

SIMILARITY = 0.8
SHARES = {"evaluation": 0.18, "calibration": 0.04, "validation": 0.05, "train": 0.73}
LATEST = 0.2  # the share of each entity that is the evaluation split where times are known

_ENDS = dict(zip(SHARES, [*[*accumulate(SHARES.values())][:-1], 1.0], strict=True))
_NOISE = re.compile(r"https?://\S*|@\w+|^\s*rt\b|\brt\s+(?=@)")


@dataclass(frozen=True)
class Splits:
    """The splits of one corpus, and what was dropped to make them."""

    train: Corpus
    validation: Corpus
    calibration: Corpus
    evaluation: Corpus
    duplicates: int

    def describe(self) -> dict[str, str]:
        """Counts and checksums of every split, as reports and cards carry them."""
        marked = "" if self.train.origins is None else " or marked by the corpus"
        described = {
            "dropped": f"{self.duplicates} near-duplicates, Jaccard >= {SIMILARITY}{marked}"
        }
        if self.train.met:
            described["read"] = "; ".join(f"{what}: {n}" for what, n in self.train.met.items())
        if self.train.times is not None:
            described["held out"] = f"the last {LATEST:.0%} of each entity by time"
        for name in SHARES:
            part: Corpus = getattr(self, name)
            counts = ", ".join(f"{count} {label}" for label, count in part.counts().items())
            described[name] = f"{len(part)} tweets ({counts}), sha256 {part.checksum()}"
        return described


def split(corpus: Corpus) -> Splits:
    """Drop near-duplicates and share the rest out.

    Raises:
        TweetsError: a split ends up with no tweet.
    """
    groups = near_duplicates(corpus.texts, corpus.origins)
    kept = [i for i, group in enumerate(groups) if i == group]
    parts: dict[str, list[int]] = {name: [] for name in SHARES}
    latest = _latest(corpus.times, corpus.entities, kept) if corpus.times else set()
    for i in kept:
        # A hash of the normalised text, so that an edited link does not move a tweet.
        fraction = stable_fraction(normalise(corpus.texts[i]), "split")
        if corpus.times:  # into the evaluation split's range of the hash, or into the others'
            start = _ENDS["evaluation"]
            fraction = 0.0 if i in latest else start + (1 - start) * fraction
        parts[next(name for name, end in _ENDS.items() if fraction < end)].append(i)
    for name, indices in parts.items():
        if not indices:
            raise TweetsError(
                f"{corpus.name}: no tweet left for {name}: {len(corpus)} read, "
                f"{len(kept)} after near-duplicates were dropped. Bring more tweets."
            )
    return Splits(
        **{name: corpus.take(indices) for name, indices in parts.items()},
        duplicates=len(corpus) - len(kept),
    )


def _latest(times: tuple[int, ...], entities: tuple[str, ...] | None, kept: list[int]) -> set[int]:
    """Of the tweets ``kept``, the last `LATEST` of each entity; of equal times, the last read."""
    by_entity: dict[str, list[int]] = {}
    for i in sorted(kept, key=times.__getitem__):
        by_entity.setdefault(entities[i] if entities else "", []).append(i)
    return {i for of in by_entity.values() for i in of[len(of) - round(LATEST * len(of)) :]}


def normalise(text: str) -> str:
    """The words that make a tweet what it is: no case, links, mentions, retweet mark."""
    folded = unicodedata.normalize("NFKC", html.unescape(text)).casefold()
    return " ".join(re.findall(r"\w+", _NOISE.sub(" ", folded)))


def near_duplicates(
    texts: tuple[str, ...], origins: tuple[tuple[str, str], ...] | None = None
) -> list[int]:
    """For each text the index of the first text of its group of near-duplicates.

    A text with no word left after normalising is compared by its characters instead. Texts of the
    same origin, where the corpus says (`Corpus.origins`), are of one group whatever their words.
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
        low, high = sorted((root(a), root(b)))
        parent[high] = low

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
