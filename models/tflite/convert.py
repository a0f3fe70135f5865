"""Checkpoint → TensorFlow graph → SavedModel → float32 FlatBuffer, with a signature a length.

TensorFlow is imported only to build: a cached file is found without importing it.
"""

from __future__ import annotations

import json
from importlib.metadata import packages_distributions, version
from pathlib import Path

from common.cache import Artifact, Cache
from models.checkpoints.checkpoint import Checkpoint
from models.errors import ConvertError
from models.tflite.flatbuffer import MODEL_FILE


def saved_model(checkpoint: Checkpoint, cache: Cache) -> Artifact:
    """Return the SavedModel of a checkpoint, a signature ``tokens_N`` for each of its lengths.

    Raises:
        ConvertError: TensorFlow is not installed.
    """
    inputs = {
        "weights": checkpoint.weights_sha256,
        "config": json.dumps(checkpoint.config, sort_keys=True),
        "tensorflow": _tensorflow_version(),
        "lengths": checkpoint.lengths,
    }

    def build(folder: Path) -> None:
        import tensorflow as tf

        from models.tflite.tf_module import Classifier

        classifier = Classifier(checkpoint, checkpoint.lengths[-1])
        signatures = {f"tokens_{n}": classifier.signature(n) for n in checkpoint.lengths}
        tf.saved_model.save(classifier, str(folder / "saved_model"), signatures=signatures)

    return cache.get_or_build("saved_model", inputs, build, code=[__name__])


def _tensorflow_version() -> str:
    found = packages_distributions().get("tensorflow")  # that package, or tensorflow-cpu
    if not found:
        raise ConvertError(
            "TensorFlow is not installed here: install the dependency group build of pyproject.toml"
        )
    return version(found[0])


def float32(checkpoint: Checkpoint, cache: Cache) -> Artifact:
    """Return the float32 FlatBuffer, which every other mode is made from. It takes a minute.

    Raises:
        ConvertError: TensorFlow Lite's converter failed, or returned nothing.
    """
    source = saved_model(checkpoint, cache)

    def build(folder: Path) -> None:
        import tensorflow as tf

        keys = [f"tokens_{length}" for length in checkpoint.lengths]
        print(f"converting {checkpoint.name} for {', '.join(keys)}: about a minute", flush=True)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(source.path / "saved_model"), signature_keys=keys
        )
        try:
            model_file = converter.convert()
        except Exception as error:  # the converter raises its own many types
            raise ConvertError(f"TensorFlow Lite's converter: {error}") from error
        if not model_file:
            raise ConvertError("TensorFlow Lite's converter returned an empty FlatBuffer")
        (folder / MODEL_FILE).write_bytes(model_file)

    return cache.get_or_build("float32", {"from": source.path.name}, build, code=[__name__])
