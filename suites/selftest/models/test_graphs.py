"""The TensorFlow graphs answer like transformers' PyTorch models, and show it when they do not.

A freshly initialized MobileBERT spreads its logits by 0.007, so equality to 1e-4 would prove
nothing. The weights are scaled until the logits spread by at least 1; the tolerance is 1e-4 of the
spread; and every planted mutant must miss by 100 times that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.checkpoints.checkpoint import Checkpoint, open_checkpoint, parameter_count

torch = pytest.importorskip("torch", reason="the oracle is PyTorch; tox -e selftest installs it")
import tensorflow as tf  # noqa: E402

from models.tflite import layers  # noqa: E402
from models.tflite.tf_module import Classifier  # noqa: E402

TOLERANCE = 1e-4
LENGTH = 24
VOCABULARY = 200
NAMES = ("negative", "neutral", "positive")
GAIN = {"mobilebert": 0.5, "bert": 1.0}
CONFIGS: dict[str, dict[str, Any]] = {
    "mobilebert": {
        "num_hidden_layers": 4,
        "intermediate_size": 128,
        "hidden_size": 128,
        "embedding_size": 32,
        "intra_bottleneck_size": 32,
        "num_attention_heads": 4,
    },
    "mobilebert-pooled-layer_norm": {
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 64,
        "embedding_size": 16,
        "intra_bottleneck_size": 32,
        "classifier_activation": True,
        "normalization_type": "layer_norm",
    },
    "bert": {
        "num_hidden_layers": 3,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 4,
    },
}


@pytest.fixture(scope="module", params=list(CONFIGS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A PyTorch model whose logits spread by at least 1, and its checkpoint on disk."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    kind = request.param.split("-")[0]
    settings = {"classifier_activation": False} if kind == "mobilebert" else {}
    config = AutoConfig.for_model(
        kind,
        vocab_size=VOCABULARY,
        id2label=dict(enumerate(NAMES)),
        **(settings | CONFIGS[request.param]),
    )
    torch.manual_seed(0)
    oracle = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for name, value in oracle.named_parameters():
            if "embeddings" in name and "LayerNorm" not in name and "transformation" not in name:
                value.normal_(0, 1)
            elif value.ndim == 2:
                value.normal_(0, GAIN[kind] * value.shape[1] ** -0.5)
            else:
                value.add_(0.1 * torch.randn_like(value))
        # Scores stay those of a trained model (the mask is -90); the head makes the spread.
        oracle.classifier.weight.mul_(3 / np.ptp(_expected(oracle)))
    folder = tmp_path_factory.mktemp(request.param)
    oracle.save_pretrained(folder)
    _tokenizer(folder)
    return oracle, open_checkpoint(str(folder))


def _tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece

    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *map(str, range(VOCABULARY - 2))])}
    Tokenizer(WordPiece(words, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))


def _texts() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    found = []
    for words in (5, 12, LENGTH):
        ids = np.zeros((1, LENGTH), np.int32)
        ids[0, :words] = rng.integers(2, VOCABULARY, words)
        types = np.zeros_like(ids)
        types[0, words // 2 : words] = 1
        found.append(
            {
                "input_ids": ids,
                "attention_mask": (ids > 0).astype(np.int32),
                "token_type_ids": types,
            }
        )
    return found


def _expected(oracle: Any) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate(
            [oracle(**{k: torch.tensor(v) for k, v in t.items()}).logits.numpy() for t in _texts()]
        )


def _outputs(checkpoint: Checkpoint) -> np.ndarray:
    classifier = Classifier(checkpoint, 64)
    return np.concatenate([classifier(**tweet)["logits"].numpy() for tweet in _texts()])


def test_graph_answers_like_pytorch(model: Any) -> None:
    oracle, checkpoint = model
    expected = _expected(oracle)
    spread = np.ptp(expected)
    assert spread >= 1, "logits this close together would hide any mistake"
    worst = np.abs(_outputs(checkpoint) - expected).max()
    assert worst <= TOLERANCE * spread, f"worst logit {worst:.2e} away, spread {spread:.2f}"


@pytest.mark.parametrize("mutant", ["mask", "positions", "token types", "trigram"])
def test_a_mutant_graph_is_told_apart(
    model: Any, mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle, checkpoint = model
    if mutant == "trigram" and checkpoint.config["model_type"] != "mobilebert":
        pytest.skip("only MobileBERT reads its neighbours")
    _plant(mutant, monkeypatch)
    expected = _expected(oracle)
    worst = np.abs(_outputs(checkpoint) - expected).max()
    assert worst >= 100 * TOLERANCE * np.ptp(expected), f"{mutant}: only {worst:.2e} away"


def _plant(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = layers.Layers

    def mask_ignored(self: Any, mask: Any) -> Any:
        return tf.zeros(mask.shape)

    def off_by_one(self: Any, name: str, mask: Any) -> Any:
        return self.embed(name, tf.cumsum(mask))

    def one_type(self: Any, name: str, types: Any, token_types: Any = real.token_types) -> Any:
        return token_types(self, name, tf.zeros_like(types))

    def neighbours_swapped(self: Any, words: Any, trigram: Any = real.trigram) -> Any:
        return tf.concat(tf.split(trigram(self, words), 3, -1)[::-1], -1)

    name, method = {
        "mask": ("mask_bias", mask_ignored),
        "positions": ("positions", off_by_one),
        "token types": ("token_types", one_type),
        "trigram": ("trigram", neighbours_swapped),
    }[mutant]
    monkeypatch.setattr(real, name, method)


@pytest.mark.parametrize("mutant", [None, "mask", "positions", "trigram"])
def test_the_shipped_checkpoint_answers_like_pytorch(
    mutant: str | None, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForSequenceClassification

    oracle = AutoModelForSequenceClassification.from_pretrained(
        checkpoint.path, dtype=torch.float32
    ).eval()
    if mutant:
        _plant(mutant, monkeypatch)
    expected = _expected(oracle)
    share = np.abs(_outputs(checkpoint) - expected).max() / np.ptp(expected)
    if mutant:
        assert share >= 100 * TOLERANCE, f"{mutant}: only {share:.1e} of the spread away"
    else:
        assert share <= TOLERANCE, f"worst logit {share:.1e} of the spread away"


def test_parameters_are_counted_from_the_config(model: Any) -> None:
    oracle, checkpoint = model
    assert parameter_count(checkpoint.config) == sum(p.numel() for p in oracle.parameters())


def test_an_unimplemented_config_field_is_refused_by_name(model: Any, tmp_path: Path) -> None:
    _, checkpoint = model
    for file in checkpoint.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text()) | {"hidden_act": "silu"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="hidden_act = 'silu'"):
        open_checkpoint(str(tmp_path))


def test_a_changed_weight_changes_the_answer(model: Any) -> None:
    oracle, checkpoint = model
    weights = checkpoint.weights()
    weights["classifier.bias"] = weights["classifier.bias"] + 0.05 * np.ptp(_expected(oracle))

    class Edited(Checkpoint):
        def weights(self) -> dict[str, np.ndarray]:
            return weights

    edited = Edited(**vars(checkpoint))
    assert np.abs(_outputs(edited) - _expected(oracle)).max() > 100 * TOLERANCE
