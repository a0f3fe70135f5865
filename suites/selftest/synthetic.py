"""Made-up texts, whose words tell the class, and tiny checkpoints of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common.framing import Framing
from data.dataset import Dataset

NAMES = ("negative", "neutral", "positive")
WORDS = {
    "negative": "awful bad broken",
    "neutral": "today report says",
    "positive": "great love it",
}


def dataset() -> Dataset:
    """400 texts in three classes."""
    rng = np.random.default_rng(0)
    texts, labels = [], []
    for i in range(400):
        label = i % 3
        filler = " ".join(f"w{n}" for n in rng.integers(0, 60, 6))
        texts.append(f"{WORDS[NAMES[label]]} {filler} n{i}")
        labels.append(label)
    return Dataset("made up", tuple(texts), tuple(labels), NAMES)


def reviews() -> Dataset:
    """The same with up to 90 more words each: up to some 400 tokens."""
    made, rng = dataset(), np.random.default_rng(1)
    counts = rng.integers(5, 90, len(made))
    more = (" ".join(f"w{n}" for n in rng.integers(0, 10_000, count)) for count in counts)
    texts = tuple(f"{text} {words}" for text, words in zip(made.texts, more, strict=True))
    return replace(made, texts=texts)


def write_dataset(file: Path, made: Dataset | None = None) -> None:
    """The texts, by default those of `dataset`, as a CSV that `data.readers` reads."""
    made = made or dataset()
    rows = [f"{made.texts[i]},{NAMES[made.labels[i]]}" for i in range(len(made))]
    file.write_text("\n".join(["text,label", *rows]) + "\n")


def write_bert(folder: Path, names: tuple[str, ...] = (), fillers: int = 60) -> Path:
    """A BERT of two layers, 32 wide, untrained, as a hub gives one.

    Args:
        folder: where to.
        names: the classes of its head; none: a pre-trained encoder without a head.
        fillers: how many words it knows besides those that tell the class.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        BertModel,
        PreTrainedTokenizerFast,
    )

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *" ".join(WORDS.values()).split()]
    words += [f"w{n}" for n in range(fillers)]
    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    if names:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: i for i, name in enumerate(names)}
    (BertForSequenceClassification if names else BertModel)(config).save_pretrained(folder)
    return folder


# The sizes of `write_checkpoint`, by model_type where they are called otherwise.
_SIZES: dict[str, dict[str, int]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    },
}
_ROBERTAS = ("roberta", "xlm-roberta", "camembert")


def write_checkpoint(
    folder: Path, kind: str, names: tuple[str, ...] = NAMES, **fields: Any
) -> tuple[Path, Any]:
    """A small classifier of any ``model_type``, as a hub has it, whose logits are far apart.

    RoBERTa and CamemBERT get byte pairs, ALBERT and XLM-RoBERTa unigrams, all others word pieces.

    Args:
        folder: where to.
        kind: the ``model_type``.
        names: the classes of its head.
        fields: of its configuration.

    Returns:
        The folder, and the PyTorch model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from models.training import static_embedding, text_cnn  # noqa: F401  (they register kinds)

    tokenizer = write_tokenizer(folder, kind)
    special = {"pad_token_id": Framing(tokenizer).pad}
    if kind in _ROBERTAS:
        special["type_vocab_size"] = 1
    config = AutoConfig.for_model(
        kind,
        **{
            "vocab_size": tokenizer.get_vocab_size(),
            "id2label": dict(enumerate(names)),
            "label2id": {name: i for i, name in enumerate(names)},
            **special,
            **_SIZES.get(kind, _SIZES[""]),
            **fields,
        },
    )
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "_embeddings." in name:
                value.normal_(0, 1)
            elif value.ndim == 2:
                value.normal_(0, value.shape[1] ** -0.5)
        head = getattr(model.classifier, "out_proj", model.classifier)
        head.weight.mul_(3)
    model.save_pretrained(folder)
    return folder, model


def write_tokenizer(
    folder: Path, kind: str, texts: Sequence[str] = (), pieces: int | None = None
) -> Any:
    """The tokenizer.json of `write_checkpoint`, trained on `texts` (default: those of `dataset`);
    returns the tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    trainer: Any
    opening, closing = ("<s>", "</s>") if kind in _ROBERTAS else ("[CLS]", "[SEP]")
    if kind in ("roberta", "camembert"):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trainer = trainers.BpeTrainer(
            vocab_size=pieces or 400, special_tokens=special, show_progress=False
        )
    elif kind in ("xlm-roberta", "albert"):
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
        if kind == "xlm-roberta":
            special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trainer = trainers.UnigramTrainer(
            vocab_size=pieces or 200, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    else:
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer()
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trainer = trainers.WordPieceTrainer(
            vocab_size=pieces or 300, special_tokens=special, show_progress=False
        )
    made.train_from_iterator(texts or dataset().texts, trainer)
    made.post_processor = processors.TemplateProcessing(
        f"{opening} $A {closing}",
        None,
        [(token, made.token_to_id(token)) for token in (opening, closing)],
    )
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    return made
