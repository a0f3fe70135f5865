"""A convolution over word pieces, and the mean and the maximum of what it finds (Kim 2014).

Each piece is seen with its two neighbours through one dense layer with relu. Nothing attends and
nothing knows a position: a text costs its tokens times ``3 * embedding_size * hidden_size``.
transformers has no such model; `models.training.text_cnn` is its oracle in PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.architectures import bert

if TYPE_CHECKING:
    from models.tflite.layers import Layers

MODEL_TYPES = ("text_cnn",)
BASE = "text_cnn"
DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "embedding_size": 128,
    # What the convolution finds: its filters.
    "hidden_size": 256,
    "hidden_act": "relu",
    # Nothing depends on a position: this only bounds what is read of a text.
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
# Padding is 0 behind a relu, so the maximum need not know of it.
SUPPORTED: dict[str, tuple[Any, ...]] = {"hidden_act": ("relu",)}
layer_group = bert.layer_group
first_position = bert.first_position


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter."""
    width, filters, classes = config["embedding_size"], config["hidden_size"], config["id2label"]
    return {
        f"{BASE}.word_embeddings.weight": (config["vocab_size"], width),
        **bert.dense_shapes(f"{BASE}.convolution", filters, 3 * width),
        **bert.dense_shapes("classifier", len(classes), filters),
        **bert.dense_shapes("classifier_of_maximum", len(classes), filters),
    }


def logits(config: Mapping[str, Any], layers: Layers, ids: Any, mask: Any, types: Any) -> Any:
    """One text, three int32 tensors of shape (tokens,) → float32 logits (classes,).

    ``types`` are not used: it has no token types.
    """
    x = layers.without_padding(layers.embed(f"{BASE}.word_embeddings", ids), mask)
    x = layers.dense(f"{BASE}.convolution", layers.trigram(x))
    x = layers.without_padding(layers.activate(config["hidden_act"], x), mask)
    mean = layers.dense("classifier", layers.mean(x, mask))
    return (mean + layers.dense("classifier_of_maximum", layers.maximum(x)))[0]
