"""Texts with what teachers answer to them, computed once: for students that learn in minutes.

A student that costs little would wait for its teachers at every step of every epoch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import datasets
import torch
from tqdm import tqdm
from transformers import DataCollatorWithPadding

from models.training.augmentation import AugmentingCollator
from models.training.trainer import bfloat16_is_fast

_BATCH = 64


def taught(
    texts: datasets.Dataset,
    tokenizer: Any,
    teachers: Sequence[Any],
    pieces: Sequence[Any],
    copies: int,
) -> datasets.Dataset:
    """Return ``texts`` and varied copies of them, with a column ``targets``.

    Args:
        texts: columns input_ids, attention_mask and labels, in the student's pieces.
        tokenizer: the student's.
        teachers: classifiers; ``targets`` are the logs of the mean of their probabilities.
        pieces: int64, of each piece of the student's the number that each teacher has.
        copies: how many varied copies of each text are added (`AugmentingCollator`), without label.
    """
    table = teachers[0].get_input_embeddings().weight.detach().cpu()[pieces[0]]
    collate = DataCollatorWithPadding(tokenizer)
    varying = AugmentingCollator(collate, torch.nn.Module(), table, 1.0)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]["input_ids"]))
    rows: dict[str, list[Any]] = {"input_ids": [], "labels": [], "targets": []}
    batches = [order[i : i + _BATCH] for i in range(0, len(order), _BATCH)]
    asked = tqdm(
        [(batch, varied) for varied in (False, *[True] * copies) for batch in batches],
        desc="asking the teachers",
        unit=" batches",
        mininterval=0.5 if sys.stderr.isatty() else 30,
    )
    fast = bfloat16_is_fast()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=fast):
        for batch, varied in asked:
            made = (varying if varied else collate)([texts[i] for i in batch])
            ids, mask = made["input_ids"], made["attention_mask"]
            answers = [
                teacher(input_ids=numbers[ids], attention_mask=mask).logits.float().softmax(-1)
                for teacher, numbers in zip(teachers, pieces, strict=True)
            ]
            rows["targets"] += torch.stack(answers).mean(0).log().tolist()
            rows["labels"] += made["labels"].tolist()
            rows["input_ids"] += [
                row[:count].tolist() for row, count in zip(ids, mask.sum(1), strict=True)
            ]
    masks = [[1] * len(ids) for ids in rows["input_ids"]]
    return datasets.Dataset.from_dict(rows | {"attention_mask": masks})
