"""Is what a runtime answered an answer? Some are silently wrong: zeros, for every text."""

from __future__ import annotations

import numpy as np

from devices.errors import SilentlyWrongError

# Quantization moves logits by a few hundredths of their spread. Half of it is another model.
ANOTHER_MODEL = 0.5


def require_valid_outputs(
    logits: np.ndarray, expected: np.ndarray | None, spread: float, metadata: str
) -> None:
    """Refuse logits (texts, classes) that cannot be those of the classifier that was loaded.

    ``expected``: what its checkpoint answers, where that is recorded; ``spread``: of all that is.

    Raises:
        SilentlyWrongError: NaN or infinity; the same logits for every one of several texts
            (tflite-runtime 2.14 answers zeros to some FlatBuffers, without an error); or a mean
            distance from the expected logits of `ANOTHER_MODEL`.
    """
    if not np.isfinite(logits).all():
        raise SilentlyWrongError(f"{metadata} answers NaN or infinity, without an error")
    if len(logits) > 1 and np.ptp(logits, axis=0).max() == 0:
        raise SilentlyWrongError(
            f"{metadata} answers {logits[0].tolist()} to every one of {len(logits)} texts, "
            "without an error"
        )
    if expected is None:
        return
    away = mean_logit_error(logits, expected, spread)[0]
    if away > ANOTHER_MODEL:
        raise SilentlyWrongError(
            f"{metadata} answers {away:.2f} of their spread away from its checkpoint's logits "
            f"(mean over {len(logits)} texts), without an error"
        )


def are_probabilities(outputs: np.ndarray, step: float = 0.0) -> bool:
    """Whether outputs (texts, classes) are a softmax's: each in [0, 1], and every row sums to 1.

    Logits do that for one text by chance, and for several never. ``step``: the scale of quantized
    ones, by half of which each may be off.
    """
    off = np.abs(outputs.sum(axis=1) - 1).max(initial=0)
    within = outputs.min(initial=0) >= 0 and outputs.max(initial=0) <= 1
    return len(outputs) > 1 and bool(within and off <= 1e-3 + outputs.shape[1] * step)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits; both float32 (texts, classes)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def logit_spread(logits: np.ndarray) -> float:
    """Standard deviation of logits (texts, classes) after each text's mean is taken out: what
    distances are shares of. Take it of all texts: eight may be alike, or as far apart as any."""
    return float(_centred(logits).std())


def normalized_logit_errors(logits: np.ndarray, expected: np.ndarray, spread: float) -> np.ndarray:
    """Distances of logits (texts, classes) from those expected, each as a share of the ``spread``,
    after each text's mean is taken out."""
    return np.abs(_centred(logits) - _centred(expected)) / spread


def mean_logit_error(
    logits: np.ndarray, expected: np.ndarray, spread: float
) -> tuple[float, float]:
    """Mean and worst of `normalized_logit_errors`."""
    away = normalized_logit_errors(logits, expected, spread)
    return float(away.mean()), float(away.max())


def label_mismatches(logits: np.ndarray, expected: np.ndarray, tie: float) -> np.ndarray:
    """Which texts get another label than expected that is no tie: by the expected logits, their
    label leads the other by more than ``tie``, in units of logits. Bool (texts,)."""
    dataset = np.arange(len(expected))
    label, other = expected.argmax(axis=1), logits.argmax(axis=1)
    lead = expected[dataset, label] - expected[dataset, other]
    return (label != other) & (lead > tie)


def _centred(logits: np.ndarray) -> np.ndarray:
    # A constant added to all logits of a text changes no probability.
    return logits - logits.mean(axis=1, keepdims=True)
