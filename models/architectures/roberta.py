"""RoBERTa for sequence classification (Liu et al. 2019), and what shares it.

XLM-RoBERTa and CamemBERT are the same graph under other names in config.json; BERTweet and
DistilRoBERTa call themselves RoBERTa. Names and arithmetic are those of transformers'
``RobertaForSequenceClassification``: BERT's encoder, positions that begin behind the padding's row,
and a head of two dense layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.architectures import bert

if TYPE_CHECKING:
    from models.tflite.layers import Layers

MODEL_TYPES = ("roberta", "xlm-roberta", "camembert")
BASE = "roberta"
DEFAULTS: dict[str, Any] = {**bert.DEFAULTS, "vocab_size": 50265, "pad_token_id": 1}
SUPPORTED = bert.SUPPORTED
layer_group = bert.layer_group


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, as transformers saves it."""
    hidden = config["hidden_size"]
    return {
        **bert.embedding_shapes(BASE, config, hidden),
        **bert.encoder_shapes(BASE, config),
        **bert.dense_shapes("classifier.dense", hidden, hidden),
        **bert.dense_shapes("classifier.out_proj", len(config["id2label"]), hidden),
    }


def first_position(config: Mapping[str, Any]) -> int:
    """Positions begin behind the row of the padding token."""
    return int(config["pad_token_id"]) + 1


def logits(config: Mapping[str, Any], layers: Layers, ids: Any, mask: Any, types: Any) -> Any:
    """One text, three int32 tensors of shape (tokens,) → float32 logits (classes,)."""
    first = first_position(config)
    x = bert.embeddings(BASE, config, layers, ids, mask=mask, types=types, first=first)
    x = bert.encoder(BASE, config, layers, x, mask)
    x = layers.activate("tanh", layers.dense("classifier.dense", x[:1]))
    return layers.dense("classifier.out_proj", x)[0]
