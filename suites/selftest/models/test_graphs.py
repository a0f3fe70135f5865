"""The TensorFlow graphs answer like transformers' PyTorch models, and show it when they do not.

A freshly initialized MobileBERT spreads its logits by 0.007, so equality to 1e-4 would prove
nothing. The weights are scaled until the logits spread by at least 1; the tolerance is 1e-4 of the
spread; and every planted mutant must miss by 100 times that.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.architectures import architectures, roberta
from models.checkpoints.checkpoint import Checkpoint, open_checkpoint, parameter_count

torch = pytest.importorskip("torch", reason="the oracle is PyTorch; tox -e selftest installs it")
import tensorflow as tf  # noqa: E402

from models.tflite import layers  # noqa: E402
from models.tflite.tf_module import Classifier  # noqa: E402
from models.training import static_embedding, text_cnn  # noqa: E402

TOLERANCE = 1e-4
LENGTH = 24
VOCABULARY = 200
NAMES = ("negative", "neutral", "positive")
GAIN = {"mobilebert": 0.5}
SMALL = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
}
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
    "distilbert": {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128},
    "roberta": {**SMALL, "type_vocab_size": 1},
    "xlm-roberta": {**SMALL, "hidden_act": "relu", "pad_token_id": 0},
    "camembert": {**SMALL, "type_vocab_size": 1, "hidden_act": "gelu_new"},
    "electra": {**SMALL, "embedding_size": 32},
    "electra-not_projected": {**SMALL, "embedding_size": 64},
    "albert": {**SMALL, "num_hidden_layers": 3, "embedding_size": 32},
    "albert-groups": {
        **SMALL,
        "num_hidden_layers": 4,
        "num_hidden_groups": 2,
        "inner_group_num": 2,
        "embedding_size": 32,
    },
    "static_embedding": {"embedding_size": 32, "bigram_rows": 64, "hidden_size": 48},
    "static_embedding-words_alone": {"embedding_size": 32},
    "text_cnn": {"embedding_size": 32, "hidden_size": 48},
}


def _attends(config: dict[str, Any]) -> bool:
    return config["model_type"] not in (static_embedding.BASE, text_cnn.BASE)


# What each mutant can be planted in; all others in all.
ONLY = {
    "mask": _attends,
    "positions": _attends,
    "mean of padding": lambda config: not _attends(config),
    "padding counts": lambda config: config["model_type"] == text_cnn.BASE,
    "pairs reversed": lambda config: config.get("bigram_rows", 0) > 0,
    "pairs of padding": lambda config: config.get("bigram_rows", 0) > 0,
    "token types": lambda config: config.get("type_vocab_size", 1) > 1,
    "trigram": lambda config: config["model_type"] in ("mobilebert", text_cnn.BASE),
    "maximum": lambda config: config["model_type"] == text_cnn.BASE,
    "position offset": lambda config: config["model_type"] in roberta.MODEL_TYPES,
    "padding index": lambda config: config["model_type"] in roberta.MODEL_TYPES,
    "embedding projection": lambda config: (
        config.get("embedding_size", config.get("hidden_size")) != config.get("hidden_size")
        and config["model_type"] not in ("mobilebert", static_embedding.BASE, text_cnn.BASE)
    ),
    "shared layers": lambda config: config["model_type"] == "albert",
    "head": lambda config: (
        config.get("classifier_activation", True)
        and config.get("hidden_size", 1) > 0
        and config["model_type"] != text_cnn.BASE
    ),
}
MUTANTS = tuple(ONLY)


@pytest.fixture(scope="module", params=list(CONFIGS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A PyTorch model whose logits spread by at least 1, and its checkpoint on disk."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    kind = request.param if request.param in architectures() else request.param.split("-")[0]
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
            if "_embeddings." in name:
                value.normal_(0, 1)
            elif value.ndim == 2:
                value.normal_(0, GAIN.get(kind, 1.0) * value.shape[1] ** -0.5)
            else:
                value.add_(0.1 * torch.randn_like(value))
        # Scores stay those of a trained model (the mask is -90); the head makes the spread.
        head = getattr(oracle.classifier, "out_proj", oracle.classifier)
        head.weight.mul_(3 / np.ptp(_expected(oracle)))
    folder = tmp_path_factory.mktemp(request.param)
    oracle.save_pretrained(folder)
    _tokenizer(folder)
    return oracle, open_checkpoint(str(folder))


def _tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece

    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *map(str, range(VOCABULARY - 2))])}
    Tokenizer(WordPiece(words, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))


def _texts(pad: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    found = []
    for words in (5, 12, LENGTH):
        ids = np.full((1, LENGTH), pad, np.int32)
        ids[0, :words] = rng.integers(2, VOCABULARY, words)
        types = np.zeros_like(ids)
        types[0, words // 2 : words] = 1
        found.append(
            {
                "input_ids": ids,
                "attention_mask": (np.arange(LENGTH) < words).astype(np.int32)[None],
                "token_type_ids": types,
            }
        )
    return found


def _expected(oracle: Any) -> np.ndarray:
    """Logits of PyTorch; a model of one token type, or of none, is not asked with two."""
    outputs = []
    for text in _texts(oracle.config.pad_token_id):
        tensors = {name: torch.tensor(value) for name, value in text.items()}
        if getattr(oracle.config, "type_vocab_size", 1) == 1:
            del tensors["token_type_ids"]
        with torch.inference_mode():
            outputs.append(oracle(**tensors).logits.numpy())
    return np.concatenate(outputs)


def _outputs(checkpoint: Checkpoint) -> np.ndarray:
    classifier, texts = Classifier(checkpoint, 64), _texts(checkpoint.config["pad_token_id"])
    return np.concatenate([classifier(**text)["logits"].numpy() for text in texts])


def test_graph_answers_like_pytorch(model: Any) -> None:
    oracle, checkpoint = model
    expected = _expected(oracle)
    spread = np.ptp(expected)
    assert spread >= 1, "logits this close together would hide any mistake"
    worst = np.abs(_outputs(checkpoint) - expected).max()
    assert worst <= TOLERANCE * spread, f"worst logit {worst:.2e} away, spread {spread:.2f}"


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_graph_misses(model: Any, mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle, checkpoint = model
    if mutant in ONLY and not ONLY[mutant](checkpoint.config):
        pytest.skip(f"nothing of this model is mutant {mutant}")
    if mutant == "shared layers":  # the last use of a shared layer is left out
        fewer = checkpoint.config["num_hidden_layers"] - 1
        checkpoint = replace(checkpoint, config=checkpoint.config | {"num_hidden_layers": fewer})
    else:
        _plant(mutant, monkeypatch)
    expected = _expected(oracle)
    worst = np.abs(_outputs(checkpoint) - expected).max()
    assert worst >= 100 * TOLERANCE * np.ptp(expected), f"{mutant}: only {worst:.2e} away"


def _plant(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = layers.Layers

    def mask_ignored(self: Any, mask: Any) -> Any:
        return tf.zeros(mask.shape)

    def off_by_one(self: Any, name: str, mask: Any, first: int = 0) -> Any:
        return self.embed(name, tf.cumsum(mask) + first)

    def from_row_0(self: Any, name: str, mask: Any, first: int, rows: Any = real.positions) -> Any:
        return rows(self, name, mask)

    def from_pad(self: Any, name: str, mask: Any, first: int, rows: Any = real.positions) -> Any:
        return rows(self, name, mask, first - 1)

    def one_type(self: Any, name: str, types: Any, token_types: Any = real.token_types) -> Any:
        return token_types(self, name, tf.zeros_like(types))

    def neighbours_swapped(self: Any, words: Any, trigram: Any = real.trigram) -> Any:
        return tf.concat(tf.split(trigram(self, words), 3, -1)[::-1], -1)

    def projection_reversed(
        self: Any, name: str, x: Any, *, scope: str | None = None, dense: Any = real.dense
    ) -> Any:
        projects = name.endswith(("embeddings_project", "embedding_hidden_mapping_in"))
        return dense(self, name, x[:, ::-1] if projects else x, scope=scope)

    def linear_head(self: Any, function: str, x: Any, activate: Any = real.activate) -> Any:
        return x if x.shape[0] == 1 else activate(self, function, x)

    def of_all(self: Any, x: Any, mask: Any) -> Any:
        return tf.reduce_mean(x, 0, keepdims=True)

    def as_it_is(self: Any, x: Any, mask: Any) -> Any:
        return x

    def minimum(self: Any, x: Any) -> Any:
        return tf.reduce_min(x, 0, keepdims=True)

    def before(self: Any, ids: Any, mask: Any, rows: int, bigrams: Any = real.bigrams) -> Any:
        return bigrams(self, ids[::-1], mask[::-1], rows)[::-1]

    def padded(self: Any, ids: Any, mask: Any, rows: int, bigrams: Any = real.bigrams) -> Any:
        return bigrams(self, ids + 1 - mask, tf.ones_like(mask), rows)

    name, method = {
        "mean of padding": ("mean", of_all),
        "padding counts": ("without_padding", as_it_is),
        "maximum": ("maximum", minimum),
        "pairs reversed": ("bigrams", before),
        "pairs of padding": ("bigrams", padded),
        "mask": ("mask_bias", mask_ignored),
        "positions": ("positions", off_by_one),
        "token types": ("token_types", one_type),
        "trigram": ("trigram", neighbours_swapped),
        "position offset": ("positions", from_row_0),
        "padding index": ("positions", from_pad),
        "embedding projection": ("dense", projection_reversed),
        "head": ("activate", linear_head),
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
    field = "activation" if checkpoint.config["model_type"] == "distilbert" else "hidden_act"
    config = json.loads((tmp_path / "config.json").read_text()) | {field: "silu"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"{field} = 'silu'"):
        open_checkpoint(str(tmp_path))


def test_a_changed_weight_changes_the_answer(model: Any) -> None:
    oracle, checkpoint = model
    weights = checkpoint.weights()
    (bias,) = {"classifier.bias", "classifier.out_proj.bias"} & weights.keys()
    weights[bias] = weights[bias] + 0.05 * np.ptp(_expected(oracle))

    class Edited(Checkpoint):
        def weights(self) -> dict[str, np.ndarray]:
            return weights

    edited = Edited(**vars(checkpoint))
    assert np.abs(_outputs(edited) - _expected(oracle)).max() > 100 * TOLERANCE
