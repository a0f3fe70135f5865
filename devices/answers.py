"""Is what a runtime answered an answer? Some are silently wrong: zeros, for every tweet."""

from __future__ import annotations

import numpy as np

from devices.errors import SilentlyWrongError

# Quantization moves logits by a few hundredths of their spread. Half of it is another model.
ANOTHER_MODEL = 0.5


def require_answers(
    logits: np.ndarray, expected: np.ndarray | None, spread: float, subject: str
) -> None:
    """Refuse logits (tweets, classes) that cannot be those of the classifier that was loaded.

    ``expected``: what its checkpoint answers, where that is recorded; ``spread``: of all that is.

    Raises:
        SilentlyWrongError: NaN or infinity; the same logits for every one of several tweets
            (tflite-runtime 2.14 answers zeros to some FlatBuffers, without an error); or a mean
            distance from the expected logits of `ANOTHER_MODEL`.
    """
    if not np.isfinite(logits).all():
        raise SilentlyWrongError(f"{subject} answers NaN or infinity, without an error")
    if len(logits) > 1 and np.ptp(logits, axis=0).max() == 0:
        raise SilentlyWrongError(
            f"{subject} answers {logits[0].tolist()} to every one of {len(logits)} tweets, "
            "without an error"
        )
    if expected is None:
        return
    away = logit_distance(logits, expected, spread)[0]
    if away > ANOTHER_MODEL:
        raise SilentlyWrongError(
            f"{subject} answers {away:.2f} of their spread away from its checkpoint's logits "
            f"(mean over {len(logits)} tweets), without an error"
        )


def spread_of_logits(logits: np.ndarray) -> float:
    """Standard deviation of logits (tweets, classes) after each tweet's mean is taken out: what
    distances are shares of. Take it of all tweets: eight may be alike, or as far apart as any."""
    return float(_centred(logits).std())


def logit_distances(logits: np.ndarray, expected: np.ndarray, spread: float) -> np.ndarray:
    """Distances of logits (tweets, classes) from those expected, each as a share of the ``spread``,
    after each tweet's mean is taken out."""
    return np.abs(_centred(logits) - _centred(expected)) / spread


def logit_distance(logits: np.ndarray, expected: np.ndarray, spread: float) -> tuple[float, float]:
    """Mean and worst of `logit_distances`."""
    away = logit_distances(logits, expected, spread)
    return float(away.mean()), float(away.max())


def told_apart(logits: np.ndarray, expected: np.ndarray, tie: float) -> np.ndarray:
    """Which tweets get another label than expected that is no tie: by the expected logits, their
    label leads the other by more than ``tie``, in units of logits. Bool (tweets,)."""
    tweets = np.arange(len(expected))
    label, other = expected.argmax(axis=1), logits.argmax(axis=1)
    lead = expected[tweets, label] - expected[tweets, other]
    return (label != other) & (lead > tie)


def _centred(logits: np.ndarray) -> np.ndarray:
    # A constant added to all logits of a tweet changes no probability.
    return logits - logits.mean(axis=1, keepdims=True)
