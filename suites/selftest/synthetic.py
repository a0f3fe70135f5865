"""Made-up texts and tiny BERTs that can learn them: the words tell the class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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


def write_dataset(file: Path) -> None:
    """The same texts as a CSV that `data.readers` reads."""
    made = dataset()
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
