"""BERT for sequence classification (Devlin et al. 2019).

Names and arithmetic are those of transformers' ``BertForSequenceClassification``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.tflite.layers import Layers

MODEL_TYPES = ("bert",)
BASE = "bert"
DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("gelu", "gelu_new", "relu"),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}
_LAYER = re.compile(r"(?P<layer>.*\.layer\.\d+)\.(?P<attention>attention)?")


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, as transformers saves it."""
    hidden = config["hidden_size"]
    return {
        **embedding_shapes(BASE, config, hidden),
        **encoder_shapes(BASE, config),
        **dense_shapes("bert.pooler.dense", hidden, hidden),
        **dense_shapes("classifier", len(config["id2label"]), hidden),
    }


def first_position(config: Mapping[str, Any]) -> int:
    """Positions begin with the first row."""
    return 0


def layer_group(name: str) -> str:
    """What attends, or what feeds forward, of one encoder layer; else the layer's own name."""
    found = _LAYER.match(name)
    if not found:
        return name
    return f"{found['layer']}.{'attention' if found['attention'] else 'feed_forward'}"


def logits(config: Mapping[str, Any], layers: Layers, ids: Any, mask: Any, types: Any) -> Any:
    """One text, three int32 tensors of shape (tokens,) → float32 logits (classes,)."""
    x = embeddings(BASE, config, layers, ids, mask=mask, types=types)
    x = encoder(BASE, config, layers, x, mask)
    pooled = layers.activate("tanh", layers.dense("bert.pooler.dense", x[:1]))
    return layers.dense("classifier", pooled)[0]


def dense_shapes(name: str, wide_out: int, wide_in: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a dense layer."""
    return {f"{name}.weight": (wide_out, wide_in), f"{name}.bias": (wide_out,)}


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a layer normalisation."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def embedding_shapes(
    base: str, config: Mapping[str, Any], width: int
) -> dict[str, tuple[int, ...]]:
    """Shapes of BERT's three tables, ``width`` wide, and their normalisation."""
    tables = f"{base}.embeddings"
    return {
        f"{tables}.word_embeddings.weight": (config["vocab_size"], width),
        f"{tables}.position_embeddings.weight": (config["max_position_embeddings"], width),
        f"{tables}.token_type_embeddings.weight": (config["type_vocab_size"], width),
        **norm_shapes(f"{tables}.LayerNorm", width),
    }


def encoder_shapes(base: str, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of BERT's encoder layers."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(config["num_hidden_layers"]):
        layer = f"{base}.encoder.layer.{i}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= dense_shapes(f"{layer}.attention.{name}", hidden, hidden)
        shapes |= norm_shapes(f"{layer}.attention.output.LayerNorm", hidden)
        shapes |= dense_shapes(f"{layer}.intermediate.dense", inner, hidden)
        shapes |= dense_shapes(f"{layer}.output.dense", hidden, inner)
        shapes |= norm_shapes(f"{layer}.output.LayerNorm", hidden)
    return shapes


def embeddings(
    base: str,
    config: Mapping[str, Any],
    layers: Layers,
    ids: Any,
    *,
    mask: Any,
    types: Any,
    first: int = 0,
) -> Any:
    """BERT's embeddings: (tokens, width). ``first``: row of the first token's position."""
    tables = f"{base}.embeddings"
    x = (
        layers.embed(f"{tables}.word_embeddings", ids)
        + layers.token_types(f"{tables}.token_type_embeddings", types)
        + layers.positions(f"{tables}.position_embeddings", mask, first)
    )
    return layers.layer_norm(f"{tables}.LayerNorm", x, config["layer_norm_eps"])


def encoder(base: str, config: Mapping[str, Any], layers: Layers, x: Any, mask: Any) -> Any:
    """BERT's encoder layers: (tokens, width) → (tokens, width)."""
    epsilon, heads = config["layer_norm_eps"], config["num_attention_heads"]
    bias = layers.mask_bias(mask)
    for i in range(config["num_hidden_layers"]):
        layer = f"{base}.encoder.layer.{i}"
        query, key, value = (
            layers.dense(f"{layer}.attention.self.{name}", x) for name in ("query", "key", "value")
        )
        context = layers.attention(
            f"{layer}.attention.self", query, key, value, bias=bias, heads=heads
        )
        context = layers.dense(f"{layer}.attention.output.dense", context)
        x = layers.layer_norm(f"{layer}.attention.output.LayerNorm", context + x, epsilon)
        inner = layers.activate(
            config["hidden_act"], layers.dense(f"{layer}.intermediate.dense", x)
        )
        inner = layers.dense(f"{layer}.output.dense", inner)
        x = layers.layer_norm(f"{layer}.output.LayerNorm", inner + x, epsilon)
    return x
