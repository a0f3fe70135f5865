"""Checkpoint → TensorFlow graph → SavedModel → float32 FlatBuffer, one signature a length."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from models.checkpoint import MAX_TOKENS, Checkpoint, graph_of
from models.errors import ConvertError
from models.flatbuffer import FLATBUFFER
from models.layers import Layers
from models.store import Artifact, Store

LENGTHS = (24, 40, 64, MAX_TOKENS)
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_SOURCES = ("layers.py", "bert.py", "mobilebert.py", "convert.py")


class Classifier(tf.Module):
    """A checkpoint as a graph: three int32 tensors (1, tokens) in, ``logits`` (1, classes) out."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self._checkpoint = checkpoint
        weights = checkpoint.weights()
        for name, table in weights.items():
            if name.endswith("position_embeddings.weight"):
                # No signature reaches the positions past the longest.
                weights[name] = table[: max(LENGTHS)]
        self._variables = {
            name: tf.Variable(value, trainable=False) for name, value in weights.items()
        }
        self._layers = Layers(self._variables)

    def __call__(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> dict[str, Any]:
        """Answer one tweet of static length."""
        config = self._checkpoint.config
        tweet = (tf.reshape(x, [-1]) for x in (input_ids, attention_mask, token_type_ids))
        return {"logits": graph_of(config).logits(config, self._layers, *tweet)[tf.newaxis]}


def saved_model(checkpoint: Checkpoint, store: Store) -> Artifact:
    """The SavedModel of a checkpoint, one signature ``tokens_N`` for each of `LENGTHS`."""
    here = Path(__file__).parent
    code = hashlib.sha256(b"".join((here / name).read_bytes() for name in _SOURCES)).hexdigest()
    inputs = {
        "weights": checkpoint.weights_sha256,
        "config": json.dumps(checkpoint.config, sort_keys=True),
        "tensorflow": tf.__version__,
        "lengths": LENGTHS,
        "graph": code,
    }

    def build(folder: Path) -> None:
        classifier = Classifier(checkpoint)
        signatures = {}
        for length in LENGTHS:
            specs = {n: tf.TensorSpec((1, length), tf.int32, name=n) for n in _INPUTS}
            function = tf.function(classifier.__call__, autograph=False)
            signatures[f"tokens_{length}"] = function.get_concrete_function(**specs)
        tf.saved_model.save(classifier, str(folder / "saved_model"), signatures=signatures)

    return store.artifact("saved_model", inputs, build)


def float32(checkpoint: Checkpoint, store: Store) -> Artifact:
    """The float32 FlatBuffer, which every other mode is made from; the slow step, taken once.

    Raises:
        ConvertError: TensorFlow Lite's converter refused, or returned nothing.
    """
    source = saved_model(checkpoint, store)

    def build(folder: Path) -> None:
        keys = [f"tokens_{length}" for length in LENGTHS]
        print(f"converting {checkpoint.name} for {', '.join(keys)}: about a minute", flush=True)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(source.path / "saved_model"), signature_keys=keys
        )
        try:
            flatbuffer = converter.convert()
        except Exception as error:  # the converter raises its own many types
            raise ConvertError(f"TensorFlow Lite's converter: {error}") from error
        if not flatbuffer:
            raise ConvertError("TensorFlow Lite's converter returned an empty FlatBuffer")
        (folder / FLATBUFFER).write_bytes(flatbuffer)

    return store.artifact("float32", {"from": source.path.name}, build)
