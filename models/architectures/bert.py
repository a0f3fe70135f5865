"""BERT for sequence classification (Devlin et al. 2019) as a plain TensorFlow inference graph.

Names and arithmetic are those of transformers' ``BertForSequenceClassification``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.tflite.layers import Layers

IMPLEMENTED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("gelu", "gelu_new", "relu"),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}


def parameter_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, as a checkpoint must hold them."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {}

    def add(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape
        if "embeddings." not in name or name.endswith("LayerNorm"):
            shapes[f"{name}.bias"] = shape[:1]

    add("bert.embeddings.word_embeddings", config["vocab_size"], hidden)
    add("bert.embeddings.position_embeddings", config["max_position_embeddings"], hidden)
    add("bert.embeddings.token_type_embeddings", config["type_vocab_size"], hidden)
    add("bert.embeddings.LayerNorm", hidden)
    for i in range(config["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{i}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            add(f"{layer}.attention.{name}", hidden, hidden)
        add(f"{layer}.attention.output.LayerNorm", hidden)
        add(f"{layer}.intermediate.dense", inner, hidden)
        add(f"{layer}.output.dense", hidden, inner)
        add(f"{layer}.output.LayerNorm", hidden)
    add("bert.pooler.dense", hidden, hidden)
    add("classifier", len(config["id2label"]), hidden)
    return shapes


def logits(config: dict[str, Any], layers: Layers, ids: Any, mask: Any, types: Any) -> Any:
    """One text, three int32 tensors of shape (tokens,) → float32 logits (classes,)."""
    epsilon, heads = config["layer_norm_eps"], config["num_attention_heads"]
    bias = layers.mask_bias(mask)
    tables = "bert.embeddings"
    x = (
        layers.embed(f"{tables}.word_embeddings", ids)
        + layers.token_types(f"{tables}.token_type_embeddings", types)
        + layers.positions(f"{tables}.position_embeddings", mask)
    )
    x = layers.layer_norm(f"{tables}.LayerNorm", x, epsilon)
    for i in range(config["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{i}"
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
    pooled = layers.activate("tanh", layers.dense("bert.pooler.dense", x[:1]))
    return layers.dense("classifier", pooled)[0]
