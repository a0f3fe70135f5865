"""transformers' `Trainer`, as this project sets it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

from data.metrics import accuracy, balanced_accuracy
from data.splits import Splits
from models.training.hyperparameters import Hyperparameters


def make_trainer(
    model: Any,
    tokenizer: Any,
    splits: Splits,
    out: Path,
    hp: Hyperparameters,
    *,
    longest: int,
    callbacks: Sequence[TrainerCallback] = (),
    bfloat16: bool | None = None,
) -> Trainer:
    """Return a `Trainer` that learns the train split and is judged on the validation split.

    Args:
        model: the model to train.
        tokenizer: its tokenizer.
        splits: the texts.
        out: the folder below which training checkpoints are written.
        hp: the hyperparameters.
        longest: tokens that a text is cut at.
        callbacks: further callbacks.
        bfloat16: whether to multiply in bfloat16 (default: where that is fast).
    """
    args = TrainingArguments(
        output_dir=str(out / "training"),
        num_train_epochs=hp.epochs,
        learning_rate=hp.learning_rate,
        per_device_train_batch_size=hp.batch_size,
        per_device_eval_batch_size=64,
        warmup_steps=hp.warmup_share,
        weight_decay=hp.weight_decay,
        max_grad_norm=1.0,
        lr_scheduler_type="linear",
        use_cpu=not torch.accelerator.is_available(),  # else bf16 is refused where there is no GPU
        bf16=bfloat16_is_fast() if bfloat16 is None else bfloat16,
        train_sampling_strategy="group_by_length",
        eval_strategy="steps",
        eval_steps=400,
        save_steps=200,
        save_total_limit=2,
        logging_steps=50,
        seed=hp.seed,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
    )
    if args.n_gpu > 1:
        args._n_gpu = 1  # DataParallel would leave a student's teachers on the first
    return Trainer(
        model=model,
        args=args,
        train_dataset=tokenized(splits.train.texts, splits.train.labels, tokenizer, longest),
        eval_dataset=tokenized(
            splits.validation.texts, splits.validation.labels, tokenizer, longest
        ),
        data_collator=DataCollatorWithPadding(
            tokenizer, pad_to_multiple_of=4 if longest % 4 == 0 else None
        ),
        compute_metrics=_metrics,
        callbacks=list(callbacks),
    )


def tokenized(
    texts: Sequence[str], labels: Sequence[int], tokenizer: Any, longest: int
) -> datasets.Dataset:
    """Return texts, cut at ``longest`` tokens, and labels as `Trainer` takes them."""
    encoded = tokenizer(list(texts), truncation=True, max_length=longest)
    return datasets.Dataset.from_dict(
        {
            "input_ids": encoded["input_ids"],
            "attention_mask": encoded["attention_mask"],
            "labels": list(labels),
        }
    )


def bfloat16_is_fast() -> bool:
    """Return whether this machine multiplies bfloat16 natively; elsewhere it is many times
    slower."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpu = Path("/proc/cpuinfo")
    flags = set(cpu.read_text().split()) if cpu.exists() else set()
    return not flags.isdisjoint({"amx_bf16", "avx512_bf16"})


def _metrics(predicted: Any) -> dict[str, float]:
    predictions, labels = predicted.predictions.argmax(-1), predicted.label_ids
    return {
        "accuracy": accuracy(labels, predictions),
        "balanced_accuracy": balanced_accuracy(labels, predictions),
    }
