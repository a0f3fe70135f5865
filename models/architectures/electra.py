"""ELECTRA's discriminator for sequence classification (Clark et al. 2020).

Names and arithmetic are those of transformers' ``ElectraForSequenceClassification``: BERT's
encoder, tables that may be narrower and are then projected, and a head of two dense layers with
gelu.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.architectures import bert

if TYPE_CHECKING:
    from models.tflite.layers import Layers

MODEL_TYPES = ("electra",)
BASE = "electra"
DEFAULTS: dict[str, Any] = {
    **bert.DEFAULTS,
    "embedding_size": 128,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
}
SUPPORTED = bert.SUPPORTED
layer_group = bert.layer_group
first_position = bert.first_position


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, as transformers saves it."""
    hidden, width = config["hidden_size"], config["embedding_size"]
    shapes = bert.embedding_shapes(BASE, config, width)
    if width != hidden:
        shapes |= bert.dense_shapes("electra.embeddings_project", hidden, width)
    return {
        **shapes,
        **bert.encoder_shapes(BASE, config),
        **bert.dense_shapes("classifier.dense", hidden, hidden),
        **bert.dense_shapes("classifier.out_proj", len(config["id2label"]), hidden),
    }


def logits(config: Mapping[str, Any], layers: Layers, ids: Any, mask: Any, types: Any) -> Any:
    """One text, three int32 tensors of shape (tokens,) → float32 logits (classes,)."""
    x = bert.embeddings(BASE, config, layers, ids, mask=mask, types=types)
    if config["embedding_size"] != config["hidden_size"]:
        x = layers.dense("electra.embeddings_project", x)
    x = bert.encoder(BASE, config, layers, x, mask)
    x = layers.activate("gelu", layers.dense("classifier.dense", x[:1]))
    return layers.dense("classifier.out_proj", x)[0]
