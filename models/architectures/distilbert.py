"""DistilBERT for sequence classification (Sanh et al. 2019).

Names and arithmetic are those of transformers' ``DistilBertForSequenceClassification``: BERT's
layers under other names, no token types, no pooler, and a head of two dense layers with relu.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.architectures import bert

if TYPE_CHECKING:
    from models.tflite.layers import Layers

MODEL_TYPES = ("distilbert",)
BASE = "distilbert"
DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    # Positions computed as sines are saved as a table too, so the graph is the same.
    "sinusoidal_pos_embds": False,
    "n_layers": 6,
    "n_heads": 12,
    "dim": 768,
    "hidden_dim": 3072,
    "activation": "gelu",
    "pad_token_id": 0,
}
SUPPORTED: dict[str, tuple[Any, ...]] = {"activation": ("gelu", "gelu_new", "relu")}
layer_group = bert.layer_group
first_position = bert.first_position
_EPSILON = 1e-12  # not a field of its config


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, as transformers saves it."""
    width, inner = config["dim"], config["hidden_dim"]
    tables = "distilbert.embeddings"
    shapes: dict[str, tuple[int, ...]] = {
        f"{tables}.word_embeddings.weight": (config["vocab_size"], width),
        f"{tables}.position_embeddings.weight": (config["max_position_embeddings"], width),
        **bert.norm_shapes(f"{tables}.LayerNorm", width),
    }
    for i in range(config["n_layers"]):
        layer = f"distilbert.transformer.layer.{i}"
        for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
            shapes |= bert.dense_shapes(f"{layer}.attention.{name}", width, width)
        shapes |= bert.norm_shapes(f"{layer}.sa_layer_norm", width)
        shapes |= bert.dense_shapes(f"{layer}.ffn.lin1", inner, width)
        shapes |= bert.dense_shapes(f"{layer}.ffn.lin2", width, inner)
        shapes |= bert.norm_shapes(f"{layer}.output_layer_norm", width)
    return {
        **shapes,
        **bert.dense_shapes("pre_classifier", width, width),
        **bert.dense_shapes("classifier", len(config["id2label"]), width),
    }


def logits(config: Mapping[str, Any], layers: Layers, ids: Any, mask: Any, types: Any) -> Any:
    """One text, three int32 tensors of shape (tokens,) → float32 logits (classes,).

    ``types`` are not used: it has no token types.
    """
    tables = "distilbert.embeddings"
    x = layers.embed(f"{tables}.word_embeddings", ids)
    x = x + layers.positions(f"{tables}.position_embeddings", mask)
    x = layers.layer_norm(f"{tables}.LayerNorm", x, _EPSILON)
    bias = layers.mask_bias(mask)
    for i in range(config["n_layers"]):
        layer = f"distilbert.transformer.layer.{i}"
        query, key, value = (
            layers.dense(f"{layer}.attention.{name}", x) for name in ("q_lin", "k_lin", "v_lin")
        )
        context = layers.attention(
            f"{layer}.attention", query, key, value, bias=bias, heads=config["n_heads"]
        )
        context = layers.dense(f"{layer}.attention.out_lin", context)
        x = layers.layer_norm(f"{layer}.sa_layer_norm", context + x, _EPSILON)
        inner = layers.activate(config["activation"], layers.dense(f"{layer}.ffn.lin1", x))
        inner = layers.dense(f"{layer}.ffn.lin2", inner)
        x = layers.layer_norm(f"{layer}.output_layer_norm", inner + x, _EPSILON)
    x = layers.activate("relu", layers.dense("pre_classifier", x[:1]))
    return layers.dense("classifier", x)[0]
