"""Accuracy on parts of the texts: by class, entity, length, and what a text has in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.dataset import Dataset
from data.metrics import paired_drop, proportion

# A smaller part says nothing: the bounds of ten texts are fifty points apart.
LEAST_TEXTS = 20
MOST_ENTITIES = 20
BINS = 10
# Of each kind, and characters of one.
EXAMPLES, LONGEST_EXAMPLE = 20, 280
TIMES = ("first quarter", "second", "third", "last quarter")

_LINK = re.compile(r"https?://|www\.|\bt\.co/", re.I)
_MENTION = re.compile(r"(?<!\w)@\w")
# Pictographs, dingbats, flags, and the selector that makes an emoji of a character.
_EMOJI = re.compile("[\u2600-\u27bf\ufe0f\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff]")


def softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Return probabilities of logits, both of shape (texts, classes)."""
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    exponents = np.exp(shifted)
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def reliability(labels: ArrayLike, logits: ArrayLike) -> tuple[list[list[float]], float]:
    """Return how often a prediction is right at each confidence, and the calibration error.

    Confidence is the greatest softmax probability. There are `BINS` bins of equal width.

    Returns:
        [texts, mean confidence in percent, accuracy in percent] of each bin that is not empty; and
        the expected calibration error in points (Guo et al. 2017).
    """
    probabilities, truth = softmax(logits), np.asarray(labels)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for index in range(BINS):
        inside = place == index
        if count := int(inside.sum()):
            mean, share = 100 * float(confidence[inside].mean()), 100 * float(right[inside].mean())
            bins.append([float(count), mean, share])
            error += count * abs(mean - share) / len(truth)
    return bins, error


def flips(before: ArrayLike, after: ArrayLike) -> list[list[float]]:
    """Return by the confidence of `before` how many predictions are others in `after`.

    Args:
        before, after: logits of shape (texts, classes).

    Returns:
        [lower end of the bin in percent, texts, other predictions] of each bin that is not empty.
    """
    first, second = softmax(before), np.asarray(after)
    other = first.argmax(axis=1) != second.argmax(axis=1)
    place = np.minimum((first.max(axis=1) * BINS).astype(int), BINS - 1)
    return [
        [100.0 * index / BINS, float((place == index).sum()), float(other[place == index].sum())]
        for index in range(BINS)
        if (place == index).any()
    ]


def examples(texts: Dataset, before: ArrayLike | None, after: ArrayLike) -> list[dict[str, Any]]:
    """Return texts whose label changed, and wrong ones, the surest predictions first.

    Args:
        texts: n texts.
        before, after: logits of shape (n, classes); None: there are none to compare with.

    Returns:
        `EXAMPLES` at most of each `kind`, "changed" and "wrong": `text`, `label`, `before` if it
        is known, `predicted`, and `confidence` in percent.
    """
    probabilities = softmax(after)
    labels, predicted = np.asarray(texts.labels), probabilities.argmax(axis=1)
    kinds = {"wrong": predicted != labels}
    was = None if before is None else np.asarray(before).argmax(axis=1)
    if was is not None:
        kinds = {"changed": predicted != was, **kinds}
    found = []
    for kind, chosen in kinds.items():
        surest = np.argsort(-probabilities.max(axis=1), kind="stable")
        for n in [int(i) for i in surest if chosen[i]][:EXAMPLES]:
            one = {"kind": kind, "text": texts.texts[n][:LONGEST_EXAMPLE]}
            one |= {"label": texts.label_names[labels[n]]}
            if was is not None:
                one |= {"before": texts.label_names[was[n]]}
            confidence = 100 * float(probabilities[n].max())
            found.append(
                one | {"predicted": texts.label_names[predicted[n]], "confidence": confidence}
            )
    return found


def slices(
    texts: Dataset,
    predictions: ArrayLike,
    best: ArrayLike | None,
    tokens: Sequence[int],
    unknown: Sequence[int],
) -> list[dict[str, Any]]:
    """Return the accuracy on each part of the texts that has `LEAST_TEXTS`, worst first.

    Args:
        texts: n texts.
        predictions: shape (n,).
        best: predictions of the accuracy reference, shape (n,); None if there are none.
        tokens: length of each text in tokens.
        unknown: unknown pieces in each text.

    Returns:
        For each part: `kind`, `name`, `texts`, `accuracy` with `lower` and `upper` (percent,
        Wilson's one-sided 95% bounds) and `drop` with `drop_lower` and `drop_upper` (points
        against `best`, one-sided 95% bounds of a paired bootstrap).
    """
    truth, answers = np.asarray(texts.labels), np.asarray(predictions)
    found = []
    for kind, name, inside in _parts(texts, tokens, unknown):
        if inside.sum() < LEAST_TEXTS or inside.all():
            continue
        share = proportion(truth[inside], answers[inside])
        part: dict[str, Any] = {"kind": kind, "name": name, "texts": int(inside.sum())}
        part |= {"accuracy": share.value, "lower": share.lower, "upper": share.upper}
        if best is not None:
            drop = paired_drop(truth[inside], np.asarray(best)[inside], answers[inside])
            part |= {"drop": drop.value, "drop_lower": drop.lower, "drop_upper": drop.upper}
        found.append(part)
    return sorted(found, key=lambda part: (part["accuracy"], part["kind"], part["name"]))


def drift(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the slices say of the drop by time and by entity, a sentence each.

    Args:
        parts: what `slices` returned, with drops.
    """
    said = []
    by_time = {part["name"]: part for part in parts if part["kind"] == "time" and "drop" in part}
    if {TIMES[0], TIMES[-1]} <= by_time.keys():
        first, last = by_time[TIMES[0]], by_time[TIMES[-1]]
        grows = last["drop_lower"] > first["drop_upper"]
        said.append(
            f"the drop is {_drop(first)} in the first quarter of the time and {_drop(last)} in the "
            f"last: {'it grows' if grows else 'no growth is proven'}; later texts were not asked"
        )
    of_entities = [part for part in parts if part["kind"] == "entity" and "drop" in part]
    if of_entities:
        worst = max(of_entities, key=lambda part: float(part["drop"]))
        said.append(f"the drop is greatest for the entity {worst['name']}: {_drop(worst)}")
    return said


def _drop(part: Mapping[str, Any]) -> str:
    low, high = part["drop_lower"], part["drop_upper"]
    return f"{part['drop']:.1f} points ({low:.1f} to {high:.1f})"


def _parts(
    texts: Dataset, tokens: Sequence[int], unknown: Sequence[int]
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    labels = np.asarray(texts.labels)
    for index, name in enumerate(texts.label_names):
        yield "class", name, labels == index
    if texts.entities:
        names, places, counts = np.unique(
            np.asarray(texts.entities), return_inverse=True, return_counts=True
        )
        for index in np.argsort(-counts, kind="stable")[:MOST_ENTITIES]:
            yield "entity", str(names[index]), places == index
    if texts.times:
        whens = np.asarray(texts.times)
        cuts = np.quantile(whens, (0.25, 0.5, 0.75))
        place = np.searchsorted(cuts, whens, side="right")
        for index, name in enumerate(TIMES):
            yield "time", name, place == index
    lengths = np.asarray(tokens)
    cuts = sorted({int(cut) for cut in np.quantile(lengths, (0.25, 0.5, 0.75))})
    for index, (low, high) in enumerate(zip([0, *cuts], [*cuts, 10**9], strict=True)):
        name = f"over {low} tokens" if index == len(cuts) else f"{low + 1} to {high} tokens"
        yield "length", name, (lengths > low) & (lengths <= high)
    yield "unknown pieces", "some", np.asarray(unknown) > 0
    for kind, pattern in (("link", _LINK), ("mention", _MENTION), ("emoji", _EMOJI)):
        has = np.array([bool(pattern.search(text)) for text in texts.texts])
        yield kind, f"with {kind}", has
        yield kind, f"without {kind}", ~has
