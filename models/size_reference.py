"""The size reference: BERT-large, as bytes counted from its configuration.

Two bases, never mixed. *Weights*: four bytes a parameter. *Training checkpoint*: weights and Adam's
two moments, twelve bytes a parameter, which is what a fine-tuning run leaves on disk and what the
paper's "160x smaller" can only mean: MobileBERT in int8 is 51 times smaller than the weights.
"""

from __future__ import annotations

from typing import Any

from models.checkpoints.checkpoint import parameter_count

# google-bert/bert-large-uncased (Devlin et al. 2019, table of model sizes).
BERT_LARGE: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "max_position_embeddings": 512,
}


def reference_parameters(classes: int) -> int:
    """Parameters of BERT-large with ``classes`` outputs."""
    return parameter_count({**BERT_LARGE, "id2label": dict.fromkeys(range(classes))})


def reference_bytes(classes: int) -> dict[str, int]:
    """Bytes of BERT-large with ``classes`` outputs: ``weights`` and ``training_checkpoint``."""
    parameters = reference_parameters(classes)
    return {"weights": 4 * parameters, "training_checkpoint": 12 * parameters}
