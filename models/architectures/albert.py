"""ALBERT for sequence classification (Lan et al. 2020).

Names and arithmetic are those of transformers' ``AlbertForSequenceClassification``: narrow tables
that are projected, and layers that share their weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.architectures import bert

if TYPE_CHECKING:
    from models.tflite.layers import Layers

MODEL_TYPES = ("albert",)
BASE = "albert"
DEFAULTS: dict[str, Any] = {
    **bert.DEFAULTS,
    "vocab_size": 30000,
    "embedding_size": 128,
    "hidden_size": 4096,
    "num_hidden_groups": 1,
    "num_attention_heads": 64,
    "intermediate_size": 16384,
    "inner_group_num": 1,
    "hidden_act": "gelu_new",
}
SUPPORTED = bert.SUPPORTED
first_position = bert.first_position
_LAYER = re.compile(r"(?P<layer>.*\.albert_layers\.\d+)\.layer\.\d+\.(?P<attention>attention)?")


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, as transformers saves it."""
    hidden, width, inner = (config[f"{n}_size"] for n in ("hidden", "embedding", "intermediate"))
    shapes = bert.embedding_shapes(BASE, config, width)
    shapes |= bert.dense_shapes("albert.encoder.embedding_hidden_mapping_in", hidden, width)
    for group in range(config["num_hidden_groups"]):
        for layer in _layers(config, group):
            for name in ("query", "key", "value", "dense"):
                shapes |= bert.dense_shapes(f"{layer}.attention.{name}", hidden, hidden)
            shapes |= bert.norm_shapes(f"{layer}.attention.LayerNorm", hidden)
            shapes |= bert.dense_shapes(f"{layer}.ffn", inner, hidden)
            shapes |= bert.dense_shapes(f"{layer}.ffn_output", hidden, inner)
            shapes |= bert.norm_shapes(f"{layer}.full_layer_layer_norm", hidden)
    return {
        **shapes,
        **bert.dense_shapes("albert.pooler", hidden, hidden),
        **bert.dense_shapes("classifier", len(config["id2label"]), hidden),
    }


def layer_group(name: str) -> str:
    """What attends, or what feeds forward, of one shared layer, wherever it is used."""
    found = _LAYER.match(name)
    if not found:
        return name
    return f"{found['layer']}.{'attention' if found['attention'] else 'feed_forward'}"


def logits(config: Mapping[str, Any], layers: Layers, ids: Any, mask: Any, types: Any) -> Any:
    """One text, three int32 tensors of shape (tokens,) → float32 logits (classes,)."""
    x = bert.embeddings(BASE, config, layers, ids, mask=mask, types=types)
    x = layers.dense("albert.encoder.embedding_hidden_mapping_in", x)
    bias, count = layers.mask_bias(mask), config["num_hidden_layers"]
    for i in range(count):
        for layer in _layers(config, i * config["num_hidden_groups"] // count):
            x = _layer(config, layers, layer, f"{layer}.layer.{i}", x, bias=bias)
    x = layers.activate("tanh", layers.dense("albert.pooler", x[:1]))
    return layers.dense("classifier", x)[0]


def _layers(config: Mapping[str, Any], group: int) -> list[str]:
    """The layers of a group that shares its weights."""
    path = f"albert.encoder.albert_layer_groups.{group}.albert_layers"
    return [f"{path}.{j}" for j in range(config["inner_group_num"])]


def _layer(
    config: Mapping[str, Any], layers: Layers, layer: str, here: str, x: Any, *, bias: Any
) -> Any:
    """One use of a shared layer: its weights' name, and its own name ``here`` in the graph."""

    def dense(name: str, x: Any) -> Any:
        return layers.dense(f"{layer}.{name}", x, scope=f"{here}.{name}")

    def norm(name: str, x: Any) -> Any:
        epsilon = config["layer_norm_eps"]
        return layers.layer_norm(f"{layer}.{name}", x, epsilon, scope=f"{here}.{name}")

    query, key, value = (dense(f"attention.{name}", x) for name in ("query", "key", "value"))
    context = layers.attention(
        f"{here}.attention", query, key, value, bias=bias, heads=config["num_attention_heads"]
    )
    x = norm("attention.LayerNorm", dense("attention.dense", context) + x)
    inner = layers.activate(config["hidden_act"], dense("ffn", x))
    return norm("full_layer_layer_norm", dense("ffn_output", inner) + x)
