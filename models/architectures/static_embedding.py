"""A static embedding: the mean of a text's word pieces and of their pairs, and a dense classifier.

A piece has one vector whatever stands next to it. So has a pair of neighbours; pairs share
``bigram_rows`` rows by a hash (fastText, Joulin et al. 2017). Nothing attends: a text costs its
tokens times the width. transformers has no such model; `models.training.static_embedding` is its
oracle in PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.architectures import bert

if TYPE_CHECKING:
    from models.tflite.layers import Layers

MODEL_TYPES = ("static_embedding",)
BASE = "static_embedding"
DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "embedding_size": 128,
    # Rows of the table of pairs; 0: pairs are not looked up.
    "bigram_rows": 0,
    # Width of a dense layer with relu between mean and classifier; 0: there is none.
    "hidden_size": 0,
    "hidden_act": "relu",
    # Nothing depends on a position: this only bounds what is read of a text.
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
SUPPORTED: dict[str, tuple[Any, ...]] = {"hidden_act": ("relu",)}
layer_group = bert.layer_group
first_position = bert.first_position


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter."""
    width, pairs, hidden = (config[n] for n in ("embedding_size", "bigram_rows", "hidden_size"))
    shapes: dict[str, tuple[int, ...]] = {
        f"{BASE}.word_embeddings.weight": (config["vocab_size"], width)
    }
    if pairs:
        shapes[f"{BASE}.bigram_embeddings.weight"] = (pairs, width)
    if hidden:
        shapes |= bert.dense_shapes(f"{BASE}.dense", hidden, width)
    return shapes | bert.dense_shapes("classifier", len(config["id2label"]), hidden or width)


def logits(config: Mapping[str, Any], layers: Layers, ids: Any, mask: Any, types: Any) -> Any:
    """One text, three int32 tensors of shape (tokens,) → float32 logits (classes,).

    ``types`` are not used: it has no token types.
    """
    x = layers.embed(f"{BASE}.word_embeddings", ids)
    if config["bigram_rows"]:
        pairs = layers.bigrams(ids, mask, config["bigram_rows"])
        x = x + layers.embed(f"{BASE}.bigram_embeddings", pairs)
    x = layers.mean(layers.without_padding(x, mask), mask)
    if config["hidden_size"]:
        x = layers.activate(config["hidden_act"], layers.dense(f"{BASE}.dense", x))
    return layers.dense("classifier", x)[0]
