"""The linear opponent: TF-IDF of words and characters, and logistic regression (scikit-learn).

It is what one ships where a network is not worth its bytes. Run as a script, it classifies texts in
a process of its own, and measures that as `devices.worker` measures a model file.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Tried on the validation split: the strength of the regularization, and the words of a phrase. The
# smallest number of texts that a feature is in bounds the file.
STRENGTHS = (0.5, 1.0, 2.0, 4.0)
CHARACTERS = ((3, 5), None)
RARE = 3


def fit(
    texts: Sequence[str],
    labels: Sequence[int],
    held_out: tuple[Sequence[str], Sequence[int]],
) -> tuple[Any, dict[str, Any]]:
    """Return the pipeline that is best on ``held_out``, fitted to ``texts``, and its settings.

    The best has the highest sum of accuracy and balanced accuracy.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    from data.metrics import accuracy, balanced_accuracy

    best: tuple[float, Any, dict[str, Any]] = (-1.0, None, {})
    for characters in CHARACTERS:
        counted: dict[str, Any] = {"min_df": RARE, "sublinear_tf": True, "dtype": np.float32}
        parts = [TfidfVectorizer(ngram_range=(1, 2), **counted)]
        if characters:
            parts.append(TfidfVectorizer(analyzer="char_wb", ngram_range=characters, **counted))
        features = make_union(*parts)
        rows = features.fit_transform(texts)
        seen = features.transform(held_out[0])
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, class_weight="balanced", max_iter=400, tol=1e-3)
            answered = model.fit(rows, labels).predict(seen)
            reached = accuracy(held_out[1], answered) + balanced_accuracy(held_out[1], answered)
            if reached > best[0]:
                model.coef_ = model.coef_.astype(np.float32)
                settings = {"C": strength, "characters": characters, "features": rows.shape[1]}
                best = (reached, make_pipeline(features, model), settings)
    return best[1], best[2]


def _resident(field: str) -> float:
    """Return a field of this process's memory in MB of 10^6 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def main(arguments: Sequence[str]) -> None:
    """Classify texts (JSON on standard input) with the pipeline in a file.

    Prints predictions, the seconds of each text and the megabytes above those before anything was
    imported, as JSON.
    """
    bare = _resident("VmRSS")
    texts = json.loads(sys.stdin.read())
    import joblib

    classify = joblib.load(arguments[0]).predict

    predictions, seconds = [], []
    for text in texts:
        started = time.perf_counter()
        (answer,) = classify([text])
        seconds.append(time.perf_counter() - started)
        predictions.append(int(answer))
    memory = _resident("VmHWM") - bare
    print(json.dumps({"predictions": predictions, "seconds": seconds, "memory_mb": memory}))


if __name__ == "__main__":
    main(sys.argv[1:])
