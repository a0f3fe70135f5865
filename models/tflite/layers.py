"""The layers that architectures are made of, in TensorFlow: one text, shape (tokens, width).

The batch is always one text, so the graphs carry no batch axis: every dense layer is a plain
FULLY_CONNECTED, and the shapes are static.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from models.architectures import BIGRAM_FACTOR, MASKED

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": tf.nn.relu,
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "tanh": tf.tanh,
}


@tf.function(experimental_implements="embedding_matmul")
def embedding_lookup(table: Any, ids: Any) -> Any:
    # The converter turns a function of this name into EMBEDDING_LOOKUP, whose table can be
    # quantized; the body is what runs everywhere else.
    return tf.gather(table, ids)


@dataclass(frozen=True)
class Layers:
    """Named weights of a checkpoint (float32 variables in PyTorch's layout, out x in).

    What is computed with a weight is named after it, in the float32 FlatBuffer too.
    """

    weights: Mapping[str, tf.Variable]

    def embed(self, name: str, ids: Any) -> Any:
        """Rows of a large table: (tokens,) int32 → (tokens, width)."""
        with tf.name_scope(name):
            table = tf.convert_to_tensor(self.weights[f"{name}.weight"])
            return embedding_lookup(table, ids)

    def positions(self, name: str, mask: Any, first: int = 0) -> Any:
        """Rows of a position table: (tokens,) int32 mask → (tokens, width).

        A token's position is the number of real tokens before it, counted from row ``first``.
        Padding, which nothing attends to, repeats the last. Were it a plain range, every signature
        would carry float32 rows.
        """
        return self.embed(name, tf.maximum(tf.cumsum(mask) - (1 - first), first))

    def token_types(self, name: str, types: Any) -> Any:
        """Rows of the small table of token types: (tokens,) int32 → (tokens, width).

        A table of one row answers (1, width), whatever the types.
        """
        with tf.name_scope(name):
            if self.weights[f"{name}.weight"].shape[0] == 1:
                return tf.convert_to_tensor(self.weights[f"{name}.weight"])
            return tf.gather(self.weights[f"{name}.weight"], types)

    def trigram(self, words: Any) -> Any:
        """Each token with the one after and the one before it: (tokens, w) → (tokens, 3 w)."""
        temporary = tf.pad(words, [[1, 1], [0, 0]])
        return tf.concat([temporary[2:], words, temporary[:-2]], -1)

    def bigrams(self, ids: Any, mask: Any, rows: int) -> Any:
        """Each token and the one after it, hashed: two (tokens,) int32 → (tokens,) below ``rows``.

        Behind the last real token stands 0, whether or not the text is padded.
        """
        real = ids * mask
        return (real * BIGRAM_FACTOR + tf.pad(real[1:], [[0, 1]])) % rows

    def without_padding(self, x: Any, mask: Any) -> Any:
        """The same with 0 for padding: (tokens, width), (tokens,) int32 → (tokens, width)."""
        return x * tf.cast(mask, tf.float32)[:, tf.newaxis]

    def mean(self, x: Any, mask: Any) -> Any:
        """Mean of the real tokens; padding is 0: (tokens, width), (tokens,) int32 → (1, width)."""
        share = tf.reduce_mean(tf.cast(mask, tf.float32))
        return tf.reduce_mean(x, 0, keepdims=True) * (1.0 / share)

    def maximum(self, x: Any) -> Any:
        """Maximum over tokens: (tokens, width) → (1, width)."""
        return tf.reduce_max(x, 0, keepdims=True)

    def dense(self, name: str, x: Any, *, scope: str | None = None) -> Any:
        """(tokens, in) → (tokens, out).

        ``scope`` names this use of the weight in the graph, where a weight has several.
        """
        with tf.name_scope(scope or name):
            product = tf.matmul(x, self.weights[f"{name}.weight"], transpose_b=True)
            return product + self.weights[f"{name}.bias"]

    def layer_norm(self, name: str, x: Any, epsilon: float, *, scope: str | None = None) -> Any:
        """Normalise each token to mean 0 and variance 1, then scale and shift."""
        with tf.name_scope(scope or name):
            mean = tf.reduce_mean(x, -1, keepdims=True)
            variance = tf.reduce_mean(tf.math.squared_difference(x, mean), -1, keepdims=True)
            normal = (x - mean) * tf.math.rsqrt(variance + epsilon)
        return self.scale_shift(name, normal, scope=scope)

    def scale_shift(self, name: str, x: Any, *, scope: str | None = None) -> Any:
        """MobileBERT's "no norm": scale and shift alone."""
        with tf.name_scope(scope or name):
            return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def activate(self, function: str, x: Any) -> Any:
        """An activation function by its name in ``config.json``."""
        return _ACTIVATIONS[function](x)

    def mask_bias(self, attention_mask: Any) -> Any:
        """(tokens,) int32 of 1 and 0 → what is added to the scores: 0 and `MASKED`."""
        return (1.0 - tf.cast(attention_mask, tf.float32)) * MASKED

    def attention(
        self, name: str, query: Any, key: Any, value: Any, *, bias: Any, heads: int
    ) -> Any:
        """Scaled dot-product attention: three (tokens, width) → (tokens, width).

        ``bias``, shape (tokens,), is added to the score of each key.
        """
        tokens, width = query.shape[0], query.shape[1] // heads

        def split(x: Any) -> Any:
            return tf.transpose(tf.reshape(x, (tokens, heads, -1)), (1, 0, 2))

        with tf.name_scope(name):
            scores = tf.matmul(split(query), split(key), transpose_b=True) / math.sqrt(width) + bias
            context = tf.matmul(tf.nn.softmax(scores), split(value))
            return tf.reshape(tf.transpose(context, (1, 0, 2)), (tokens, -1))
