"""Fine-tuning and distillation, in PyTorch, with transformers' models and `Trainer`.

Both write a checkpoint in Hugging Face layout and its card. Both resume: killed half-way, the same
command goes on from the last whole training checkpoint in ``OUT/training``. What is trained on is
the train split alone; progress is judged on the validation split; the evaluation split is only
answered once, at the end, for the card.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    MobileBertConfig,
    MobileBertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from models.card import Card, software_versions
from models.checkpoint import MAX_TOKENS
from models.errors import CheckpointError
from tweets.corpus import Corpus
from tweets.measures import accuracy, balanced_accuracy, macro_f1
from tweets.splits import Splits


@dataclass(frozen=True)
class Hyperparameters:
    """What a training run depends on besides its data. Learning rate: AdamW's peak."""

    epochs: float
    learning_rate: float
    batch_size: int = 32
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    temperature: float = 2.0
    hidden_weight: float = 1.0
    seed: int = 0


def finetune(checkpoint: str, splits: Splits, out: Path, hp: Hyperparameters) -> Card:
    """Train a BERT or MobileBERT encoder with a new classification head on the train split."""
    names = splits.train.label_names
    set_seed(hp.seed)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(
        checkpoint,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
        dtype=torch.float32,
    )
    trainer = _trainer(model, tokenizer, splits, out, hp)
    _run(trainer, out)
    return _finish(model, tokenizer, splits, out, hp)


def distil(teacher: str, splits: Splits, out: Path, hp: Hyperparameters) -> Card:
    """Train a MobileBERT from nothing but a fine-tuned teacher and the train split.

    Loss: KL divergence to the teacher's logits at ``temperature`` (Hinton et al. 2015), half the
    cross-entropy, and ``hidden_weight`` times the mean squared distance between projected hidden
    states of every fourth student layer and the teacher's layer-normalised ones (Jiao et al. 2020).
    """
    set_seed(hp.seed)
    teacher_model = AutoModelForSequenceClassification.from_pretrained(teacher, dtype=torch.float32)
    names = tuple(teacher_model.config.id2label[i] for i in range(teacher_model.config.num_labels))
    if names != splits.train.label_names:
        raise CheckpointError(
            f"{teacher}: its labels {names} are not the tweets' {splits.train.label_names}; "
            "fine-tune the teacher on these tweets first (python -m models finetune)"
        )
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    student = fresh_mobilebert(teacher_model, names)
    model = Distillation(student, teacher_model, hp)
    _run(_trainer(model, tokenizer, splits, out, hp), out)
    return _finish(student, tokenizer, splits, out, hp)


def fresh_mobilebert(teacher: Any, names: tuple[str, ...]) -> MobileBertForSequenceClassification:
    """MobileBERT (24 layers, 24.6M parameters) whose word embeddings are the teacher's first 128
    principal components; dense weights from a normal of half the fan-in scale."""
    config = MobileBertConfig(
        vocab_size=teacher.config.vocab_size,
        classifier_activation=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.0,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    student = MobileBertForSequenceClassification(config)
    with torch.no_grad():
        for module in student.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.normal_(0.0, 0.5 * module.in_features**-0.5)
        words = teacher.get_input_embeddings().weight
        centred = words - words.mean(0)
        basis = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -config.embedding_size :]
        projected = centred @ basis
        table = student.get_input_embeddings().weight
        table.copy_(projected / projected.std() * 0.1)
        table[config.pad_token_id] = 0
    return student


class Distillation(torch.nn.Module):
    """A student, the teacher it learns from, and the projections between their widths."""

    def __init__(self, student: Any, teacher: Any, hp: Hyperparameters) -> None:
        super().__init__()
        self.student, self.hp = student, hp
        self._teacher = [teacher.eval()]  # in a list: neither trained nor saved with the student
        self.every = student.config.num_hidden_layers // teacher.config.num_hidden_layers
        width = (student.config.hidden_size, teacher.config.hidden_size)
        self.projections = torch.nn.ModuleList(
            torch.nn.Linear(*width) for _ in range(teacher.config.num_hidden_layers)
        )

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any, **_: Any) -> Any:
        tokens = {"input_ids": input_ids, "attention_mask": attention_mask}
        answer = self.student(**tokens, output_hidden_states=True)
        if not self.training:
            return {"loss": F.cross_entropy(answer.logits, labels), "logits": answer.logits}
        with torch.no_grad():
            target = self._teacher[0](**tokens, output_hidden_states=True)
        loss = self._answers(answer.logits, target.logits, labels)
        if self.hp.hidden_weight:
            loss = loss + self.hp.hidden_weight * self._hidden(
                answer.hidden_states, target.hidden_states, attention_mask
            )
        return {"loss": loss, "logits": answer.logits}

    def _answers(self, logits: Any, target: Any, labels: Any) -> Any:
        t = self.hp.temperature
        soft = F.kl_div(
            F.log_softmax(logits / t, -1), F.softmax(target / t, -1), reduction="batchmean"
        )
        return t * t * soft + 0.5 * F.cross_entropy(logits, labels)

    def _hidden(self, states: Any, targets: Any, mask: Any) -> Any:
        real = mask.bool()
        losses = [
            F.mse_loss(
                project(states[self.every * (i + 1)][real]),
                F.layer_norm(targets[i + 1][real], targets[i + 1].shape[-1:]),
            )
            for i, project in enumerate(self.projections)
        ]
        return torch.stack(losses).mean()


def record(model: Any, tokenizer: Any, corpus: Corpus) -> list[list[float]]:
    """The model's logits for every tweet, in order: (tweets, classes)."""
    order = sorted(range(len(corpus)), key=lambda i: len(corpus.texts[i]))
    logits: dict[int, list[float]] = {}
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            batch = order[start : start + 64]
            tokens = tokenizer(
                [corpus.texts[i] for i in batch],
                truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt",
            ).to(model.device)  # fmt: skip
            logits.update(zip(batch, model(**tokens).logits.float().tolist(), strict=True))
    return [logits[i] for i in range(len(corpus))]


def _trainer(model: Any, tokenizer: Any, splits: Splits, out: Path, hp: Hyperparameters) -> Trainer:
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
        bf16=_bfloat16_is_fast(),
        train_sampling_strategy="group_by_length",
        eval_strategy="steps",
        eval_steps=200,
        save_steps=200,
        save_total_limit=2,
        logging_steps=50,
        seed=hp.seed,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
    )
    return Trainer(
        model=model,
        args=args,
        train_dataset=_tokens(splits.train, tokenizer),
        eval_dataset=_tokens(splits.validation, tokenizer),
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=4),
        compute_metrics=_metrics,
    )


def _tokens(corpus: Corpus, tokenizer: Any) -> Dataset:
    encoded = tokenizer(list(corpus.texts), truncation=True, max_length=MAX_TOKENS)
    ids = encoded["input_ids"]
    return Dataset.from_dict(
        {
            "input_ids": ids,
            "attention_mask": encoded["attention_mask"],
            "labels": list(corpus.labels),
        }
    )


def _metrics(predicted: Any) -> dict[str, float]:
    answers, labels = predicted.predictions.argmax(-1), predicted.label_ids
    return {
        "accuracy": accuracy(labels, answers),
        "balanced_accuracy": balanced_accuracy(labels, answers),
    }


def _bfloat16_is_fast() -> bool:
    """Whether this machine multiplies bfloat16 natively (elsewhere it is many times slower)."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "amx_bf16" in cpu.read_text()


def _run(trainer: Any, out: Path) -> None:
    """Train, going on from the newest training checkpoint that was written whole."""
    whole = sorted(
        (path.parent for path in (out / "training").glob("checkpoint-*/trainer_state.json")),
        key=lambda path: int(path.name.split("-")[1]),
    )
    if whole:
        print(f"resuming from {whole[-1]}", flush=True)
    trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)


def _finish(model: Any, tokenizer: Any, splits: Splits, out: Path, hp: Hyperparameters) -> Card:
    """Write the checkpoint beside, in half precision, then rename; then its card and README."""
    beside = out / "writing"
    shutil.rmtree(beside, ignore_errors=True)
    model.to(torch.float16).save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    for file in sorted(beside.iterdir()):
        file.replace(out / file.name)
    beside.rmdir()
    command = shlex.join(["python", "-m", "models", *map(_short, sys.argv[1:])])
    return record_card(out, splits, {"command": command, "hyperparameters": asdict(hp)})


def _short(argument: str) -> str:
    """An argument as another machine can read it: of a path outside this folder, the name."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def record_card(checkpoint: Path, splits: Splits, provenance: dict[str, Any] | None = None) -> Card:
    """Answer the evaluation tweets with the checkpoint as written, and write ``card.json``.

    Without ``provenance``, that of the card that is there is kept.
    """
    file = checkpoint / "card.json"
    if provenance is None:
        provenance = Card.load(file).provenance if file.exists() else {}
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32)
    names = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
    if names != splits.evaluation.label_names:
        raise CheckpointError(
            f"{checkpoint}: its labels {names} are not the tweets' {splits.evaluation.label_names}"
        )
    logits = record(model, tokenizer, splits.evaluation)
    card = Card.of(
        checkpoint,
        parameters=sum(p.numel() for p in model.parameters()),
        tweets=splits.evaluation,
        logits=logits,
        provenance={
            **provenance,
            "splits": splits.describe(),
            "versions": software_versions("torch", "transformers", "datasets", "tokenizers"),
        },
    )
    card.save(file)
    answers = card.predictions
    labels = splits.evaluation.labels
    print(
        f"{checkpoint}: accuracy {100 * accuracy(labels, answers):.1f}%, balanced "
        f"{100 * balanced_accuracy(labels, answers):.1f}%, macro F1 "
        f"{100 * macro_f1(labels, answers, len(card.label_names)):.1f}% "
        f"on {len(labels)} evaluation tweets",
        flush=True,
    )
    return card
