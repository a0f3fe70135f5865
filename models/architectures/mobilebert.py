"""MobileBERT for sequence classification (Sun et al. 2020).

Names and arithmetic are those of transformers' ``MobileBertForSequenceClassification``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.architectures import bert

if TYPE_CHECKING:
    from models.tflite.layers import Layers

MODEL_TYPES = ("mobilebert",)
BASE = "mobilebert"
DEFAULTS: dict[str, Any] = {
    **bert.DEFAULTS,
    "hidden_size": 512,
    "num_hidden_layers": 24,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "hidden_act": "relu",
    "embedding_size": 128,
    "intra_bottleneck_size": 128,
    "num_feedforward_networks": 4,
    "normalization_type": "no_norm",
    "classifier_activation": True,
}
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("relu", "gelu"),
    "normalization_type": ("no_norm", "layer_norm"),
    "trigram_input": (True,),
    "use_bottleneck": (True,),
    "use_bottleneck_attention": (False,),
    "key_query_shared_bottleneck": (True,),
    "position_embedding_type": ("absolute",),
}
first_position = bert.first_position
_LAYER = re.compile(r"(?P<layer>.*\.layer\.\d+)\.(?P<attention>attention|bottleneck)?")


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, as transformers saves it."""
    hidden, inner, table = (config[f"{n}_size"] for n in ("hidden", "intermediate", "embedding"))
    body = config["intra_bottleneck_size"]
    shapes: dict[str, tuple[int, ...]] = {}

    def dense(name: str, wide_out: int, wide_in: int, norm: str | None = None) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (wide_out, wide_in), (wide_out,)
        if norm:
            shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (wide_out,)

    embeddings = "mobilebert.embeddings"
    shapes[f"{embeddings}.word_embeddings.weight"] = (config["vocab_size"], table)
    shapes[f"{embeddings}.position_embeddings.weight"] = (config["max_position_embeddings"], hidden)
    shapes[f"{embeddings}.token_type_embeddings.weight"] = (config["type_vocab_size"], hidden)
    norm = f"{embeddings}.LayerNorm"
    dense(f"{embeddings}.embedding_transformation", hidden, 3 * table, norm)
    for i in range(config["num_hidden_layers"]):
        layer = f"mobilebert.encoder.layer.{i}"
        for name in ("input", "attention"):
            path = f"{layer}.bottleneck.{name}"
            dense(f"{path}.dense", body, hidden, f"{path}.LayerNorm")
        dense(f"{layer}.attention.self.query", body, body)
        dense(f"{layer}.attention.self.key", body, body)
        dense(f"{layer}.attention.self.value", body, hidden)
        for path in _feed_forward(config, layer):
            dense(f"{path}.intermediate.dense", inner, body)
            dense(f"{path}.output.dense", body, inner, f"{path}.output.LayerNorm")
        path = f"{layer}.attention.output"
        dense(f"{path}.dense", body, body, f"{path}.LayerNorm")
        path = f"{layer}.output.bottleneck"
        dense(f"{path}.dense", hidden, body, f"{path}.LayerNorm")
    if config["classifier_activation"]:
        dense("mobilebert.pooler.dense", hidden, hidden)
    dense("classifier", len(config["id2label"]), hidden)
    return shapes


def layer_group(name: str) -> str:
    """What attends, or what feeds forward, of one encoder layer; else the layer's own name."""
    found = _LAYER.match(name)
    if not found:
        return name
    return f"{found['layer']}.{'attention' if found['attention'] else 'feed_forward'}"


def logits(config: Mapping[str, Any], layers: Layers, ids: Any, mask: Any, types: Any) -> Any:
    """One text, three int32 tensors of shape (tokens,) → float32 logits (classes,)."""
    bias = layers.mask_bias(mask)

    def norm(name: str, x: Any) -> Any:
        if config["normalization_type"] == "no_norm":
            return layers.scale_shift(name, x)
        return layers.layer_norm(name, x, config["layer_norm_eps"])

    def add_norm(path: str, x: Any, residual: Any) -> Any:
        return norm(f"{path}.LayerNorm", layers.dense(f"{path}.dense", x) + residual)

    x = _embeddings(layers, norm, ids, mask, types)
    for i in range(config["num_hidden_layers"]):
        layer = f"mobilebert.encoder.layer.{i}"
        narrow, shared = (
            norm(f"{path}.LayerNorm", layers.dense(f"{path}.dense", x))
            for path in (f"{layer}.bottleneck.input", f"{layer}.bottleneck.attention")
        )
        context = layers.attention(
            f"{layer}.attention.self",
            layers.dense(f"{layer}.attention.self.query", shared),
            layers.dense(f"{layer}.attention.self.key", shared),
            layers.dense(f"{layer}.attention.self.value", x),
            bias=bias,
            heads=config["num_attention_heads"],
        )
        narrow = add_norm(f"{layer}.attention.output", context, narrow)
        for path in _feed_forward(config, layer):
            inner = layers.activate(
                config["hidden_act"], layers.dense(f"{path}.intermediate.dense", narrow)
            )
            narrow = add_norm(f"{path}.output", inner, narrow)
        x = add_norm(f"{layer}.output.bottleneck", narrow, x)
    first = x[:1]
    if config["classifier_activation"]:
        first = layers.activate("tanh", layers.dense("mobilebert.pooler.dense", first))
    return layers.dense("classifier", first)[0]


def _feed_forward(config: Mapping[str, Any], layer: str) -> list[str]:
    """The stacked feed-forward networks of a layer, in order; the last one has no number."""
    stacked = config["num_feedforward_networks"] - 1
    return [f"{layer}.ffn.{j}" for j in range(stacked)] + [layer]


def _embeddings(layers: Layers, norm: Any, ids: Any, mask: Any, types: Any) -> Any:
    tables = "mobilebert.embeddings"
    words = layers.embed(f"{tables}.word_embeddings", ids)
    x = (
        layers.dense(f"{tables}.embedding_transformation", layers.trigram(words))
        + layers.positions(f"{tables}.position_embeddings", mask)
        + layers.token_types(f"{tables}.token_type_embeddings", types)
    )
    return norm(f"{tables}.LayerNorm", x)
