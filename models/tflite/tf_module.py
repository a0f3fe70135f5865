"""A checkpoint as a TensorFlow graph, one signature a length."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from models.architectures import architecture_of
from models.checkpoints.checkpoint import Checkpoint
from models.tflite.layers import Layers

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Classifier(tf.Module):
    """A checkpoint as a graph: three int32 tensors (1, tokens) in, ``logits`` (1, classes) out."""

    def __init__(self, checkpoint: Checkpoint, longest: int) -> None:
        """``longest``: tokens of the longest text that it will be asked."""
        super().__init__()
        self._checkpoint = checkpoint
        weights = checkpoint.weights()
        longest += architecture_of(checkpoint.config).first_position(checkpoint.config)
        for name, table in weights.items():
            if name.endswith("position_embeddings.weight"):
                # No text reaches the positions past the longest.
                weights[name] = table[:longest]
        self._variables = {
            name: tf.Variable(value, trainable=False) for name, value in weights.items()
        }
        self._layers = Layers(self._variables)

    def __call__(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> dict[str, Any]:
        """Return the logits of one text of static length."""
        config = self._checkpoint.config
        text = (tf.reshape(x, [-1]) for x in (input_ids, attention_mask, token_type_ids))
        return {"logits": architecture_of(config).logits(config, self._layers, *text)[tf.newaxis]}

    def signature(self, length: int) -> Any:
        """The concrete function for texts of ``length`` tokens."""
        specs = {name: tf.TensorSpec((1, length), tf.int32, name=name) for name in INPUTS}
        return tf.function(self.__call__, autograph=False).get_concrete_function(**specs)
