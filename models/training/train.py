"""Fine-tuning and distillation, in PyTorch, with transformers' models and `Trainer`.

Both start from a folder or a hub id, and write a checkpoint in Hugging Face layout and its
reference outputs.
Both resume: killed half-way, the same command goes on from the last whole training checkpoint in
``OUT/training``; the checkpoint that OUT has stays as it is until the next one and its reference
outputs are whole. What is trained on is the train split alone; progress is judged on the validation
split; the evaluation split is only answered once, at the end, for the reference outputs."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from data.dataset import Dataset
from data.metrics import accuracy, balanced_accuracy, scores
from data.splits import Splits
from data.unlabeled import UnlabeledTexts
from models.architectures import architecture_of, architectures, positions, with_defaults
from models.checkpoints import model_card, weights
from models.checkpoints.checkpoint import FILES as JUDGED
from models.checkpoints.checkpoint import MAX_TOKENS
from models.checkpoints.hub import FILES, PICKLED, TOKENIZERS, Source, locate
from models.checkpoints.reference_outputs import (
    ReferenceOutputs,
    digest,
    file_sha256,
    software_versions,
)
from models.errors import CheckpointError, ReferenceOutputsError, SaveError
from models.training.distillation import (
    UNLABELED,
    AugmentingCollator,
    Distillation,
    fresh_mobilebert,
    prune_embedding,
    resize_depth,
)
from models.training.vocab_pruning import numbers_in, smaller


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
    varied_share: float = 0.0
    seed: int = 0
    layers: int = 24
    vocabulary: int | None = None


# Those that say nothing of a fine-tuned checkpoint.
_OF_DISTILLATION = ("temperature", "hidden_weight", "varied_share", "layers", "vocabulary")


def finetune(checkpoint: str, splits: Splits, out: Path, hp: Hyperparameters) -> ReferenceOutputs:
    """Train a BERT or MobileBERT encoder with a new classification head on the train split.

    Raises:
        CheckpointError: the checkpoint cannot be read, or tells other classes than the texts.
        SaveError: no space left; what was written whole is kept.
    """
    names = splits.train.label_names
    found = locate(checkpoint)
    set_seed(hp.seed)
    tokenizer, config = _tokenizer(found), _config(found)
    if _has_head(config) and _label_names(config) != names:
        raise CheckpointError(
            f"{checkpoint}: its head tells {_label_names(config)}, the texts {names}; start from "
            "the encoder that it was made of, or name and order the classes alike in config.json "
            "and the texts"
        )
    model = _model(
        found,
        tokenizer,
        new=("classifier.", "pooler."),
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    provenance = _provenance(hp, [found.said], "checkpoint")
    for name in _OF_DISTILLATION:
        del provenance["hyperparameters"][name]
    with _alone(out):
        start = {"checkpoint": _content(found)}
        _run(_trainer(model, tokenizer, splits, out, hp), out, start, hp, splits)
        return _finish(model, tokenizer, splits, out, provenance)


def distill(
    teachers: Sequence[str],
    splits: Splits,
    out: Path,
    hp: Hyperparameters,
    *,
    student: str | None = None,
    unlabeled: UnlabeledTexts | None = None,
) -> ReferenceOutputs:
    """Train a MobileBERT from nothing but fine-tuned teachers and the train split.

    ``student``: a checkpoint that learned from such a teacher before, to go on from; of one that
    has more than ``layers``, evenly spaced ones are kept, and one that has fewer is deepened
    (`resize_depth`). ``unlabeled``: further texts, of which the teachers' answer is learned. Of a
    ``vocabulary`` the student knows that many of the first teacher's word pieces
    (`models.training.vocab_pruning`); the teachers read the same pieces as it does.

    Loss: KL divergence to the mean of the teachers' probabilities at ``temperature`` (Hinton et al.
    2015), half the cross-entropy, and ``hidden_weight`` times the mean squared distance between
    projected hidden states of evenly spaced student layers, one for each of the first teacher's,
    and its layer-normalised ones (Jiao et al. 2020). ``varied_share`` of the texts are varied (see
    `Varied`): of those only the teachers' answer is learned. At the end the classifier's biases are
    adjusted to how rare each class is (`adjust_logits_for_class_prior`).

    Raises:
        CheckpointError: a checkpoint cannot be read, tells other classes than the texts, or the
            student knows a word piece that a teacher does not, is neither a BERT nor a MobileBERT,
            or is to be deepened and is no MobileBERT.
        SaveError: no space left; what was written whole is kept.
    """
    names = splits.train.label_names
    sources = [locate(teacher) for teacher in teachers]
    provenance = _provenance(hp, [found.said for found in sources], "teacher")
    start = {"teacher": " ".join(map(_content, sources))}
    set_seed(hp.seed)
    for found in sources:
        _require_labels(found, names, "fine-tune the teacher on these texts first")
    tokenizers = [_tokenizer(found) for found in sources]
    models = [_model(*teacher) for teacher in zip(sources, tokenizers, strict=True)]
    if student:
        known = locate(student)
        start["student"], provenance["student"] = _content(known), _short(known.said)
        own = _tokenizer(known)
        _require_labels(known, names, "distill into a student that learned these classes")
        learner = _model(known, own)
    else:
        learner, own = fresh_mobilebert(models[0], names, hp.layers), tokenizers[0]
    if hp.vocabulary:
        larger, own = own, smaller(own, splits.train.texts, hp.vocabulary)
        prune_embedding(learner, numbers_in(larger, own))
    elif learner.config.vocab_size > len(own):  # a table padded for speed
        prune_embedding(learner, list(range(len(own))))
    pieces = [torch.tensor(numbers) for numbers in _teacher_token_ids(sources, tokenizers, own)]
    resize_depth(learner, hp.layers)
    if not torch.accelerator.is_available():
        learner.set_attn_implementation("eager")  # on a CPU a fifth faster: the texts are short
    model = Distillation(
        learner,
        models,
        pieces,
        temperature=hp.temperature,
        hidden_weight=hp.hidden_weight,
    )
    with _alone(out):
        trainer = _trainer(model, own, splits, out, hp)
        if unlabeled:
            start["unlabeled"] = provenance["unlabeled"] = unlabeled.description
            more = _tokens(unlabeled.texts, [UNLABELED] * len(unlabeled.texts), own)
            trainer.train_dataset = datasets.concatenate_datasets([trainer.train_dataset, more])
        if hp.varied_share:
            table = models[0].get_input_embeddings().weight.detach().cpu()[pieces[0]]
            trainer.data_collator = AugmentingCollator(
                trainer.data_collator, model, table, hp.varied_share
            )
        _run(trainer, out, start, hp, splits)
        share = adjust_logits_for_class_prior(
            learner, own, splits, list(zip(models, tokenizers, strict=True))
        )
        provenance["logit adjustment"] = share
        return _finish(learner, own, splits, out, provenance)


def _teacher_token_ids(
    sources: Sequence[Source], tokenizers: Sequence[Any], own: Any
) -> list[list[int]]:
    """Of each piece of the student's tokenizer ``own`` the number that each teacher has."""
    found = []
    for source, tokenizer in zip(sources, tokenizers, strict=True):
        numbers = numbers_in(tokenizer, own)
        if numbers is None:
            raise CheckpointError(
                f"{source.said}: the student's vocabulary is not this teacher's, so the two would "
                "read different texts; distill into a student of the teacher's own vocabulary, or "
                "of a part of it, from teachers that share it"
            )
        found.append(numbers)
    return found


def _require_labels(found: Source, names: tuple[str, ...], do: str) -> None:
    """Raises CheckpointError unless the checkpoint tells exactly the classes ``names``."""
    config = _config(found)
    if not _has_head(config):
        raise CheckpointError(
            f"{found.said}: it has no classification head; {do} "
            f"(python fit.py finetune {found.said} --out DIR)"
        )
    if _label_names(config) != names:
        raise CheckpointError(
            f"{found.said}: its labels {_label_names(config)} are not the texts' {names}; {do} "
            "(python fit.py finetune), or name and order the classes alike in config.json and "
            "the texts"
        )


def _has_head(config: Any) -> bool:
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or ())


def _label_names(config: Any) -> tuple[str, ...]:
    return tuple(config.id2label[i] for i in sorted(config.id2label))


@contextmanager
def _reading(found: Source) -> Iterator[None]:
    """Raises CheckpointError for whatever a library raises of files that it cannot read."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # transformers, PyTorch and safetensors raise their own many types
        raise CheckpointError(
            f"{found.said}: not a whole checkpoint ({str(error).strip().partition(chr(10))[0]}); "
            "fetch or train it again"
        ) from error


def _config(found: Source) -> Any:
    if not (found.path / "config.json").is_file():
        raise CheckpointError(f"{found.said}: no config.json; a checkpoint has one")
    with _reading(found):
        return AutoConfig.from_pretrained(found.path)


def _tokenizer(found: Source) -> Any:
    """Its tokenizer; without these files transformers would make one that knows no word."""
    if not any((found.path / name).is_file() for name in TOKENIZERS):
        raise CheckpointError(
            f"{found.said}: no tokenizer.json and no vocab.txt; it needs one of "
            f"{', '.join(TOKENIZERS)}"
        )
    with _reading(found):
        return AutoTokenizer.from_pretrained(found.path)


def _model(
    found: Source,
    tokenizer: Any,
    new: tuple[str, ...] = (),
    *,
    may_be_short: bool = False,
    **config: Any,
) -> Any:
    """Its classifier in float32; parameters whose names contain one of ``new`` may be missing.

    ``may_be_short``: whether it may have fewer positions than `MAX_TOKENS`.

    Raises:
        CheckpointError: a file is not whole, a parameter is missing or of another shape, the
            tokenizer has more words than the embedding, or there are too few positions.
    """
    with _reading(found):
        model, info = AutoModelForSequenceClassification.from_pretrained(
            found.path, dtype=torch.float32, output_loading_info=True, **config
        )
    missing = sorted(n for n in info["missing_keys"] if not any(part in n for part in new))
    settings = with_defaults(model.config.to_dict())
    if missing and weights.files(found.path) and settings["model_type"] in architectures():
        # Names that a wrapper made of transformers' own: read as they are judged.
        architecture = architecture_of(settings)
        shapes = architecture.parameter_shapes(settings)
        if weights.names(found.path, shapes, architecture.BASE) >= shapes.keys():
            read = weights.read(found.path, shapes, architecture.BASE)
            model.load_state_dict({n: torch.tensor(v) for n, v in read.items()}, strict=False)
            missing = []
    if missing:
        raise CheckpointError(
            f"{found.said}: its weights have no {missing[0]}, which config.json promises "
            f"({len(missing)} parameters are missing); fetch or train it again"
        )
    if len(tokenizer) > model.config.vocab_size:
        raise CheckpointError(
            f"{found.said}: its tokenizer has {len(tokenizer)} words, its embedding "
            f"{model.config.vocab_size}; use the tokenizer that it was trained with"
        )
    if (tokens := _longest(model)) < MAX_TOKENS and not may_be_short:
        raise CheckpointError(
            f"{found.said}: it has {tokens} positions, and texts are read up to {MAX_TOKENS} "
            "tokens; take a checkpoint of more"
        )
    return model


def _longest(model: Any) -> int:
    """Tokens of the longest text that it is asked."""
    settings = with_defaults(model.config.to_dict())
    known = settings["model_type"] in architectures()
    return min(MAX_TOKENS, positions(settings)) if known else MAX_TOKENS


def record(model: Any, tokenizer: Any, dataset: Dataset) -> list[list[float]]:
    """The model's logits for every text, in order: (texts, classes)."""
    order = sorted(range(len(dataset)), key=lambda i: len(dataset.texts[i]))
    logits: dict[int, list[float]] = {}
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            batch = order[start : start + 64]
            tokens = tokenizer(
                [dataset.texts[i] for i in batch],
                truncation=True,
                max_length=_longest(model),
                padding=True,
                return_tensors="pt",
            ).to(model.device)
            logits.update(zip(batch, model(**tokens).logits.float().tolist(), strict=True))
    return [logits[i] for i in range(len(dataset))]


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
        use_cpu=not torch.accelerator.is_available(),  # else bf16 is refused where there is no GPU
        bf16=_bfloat16_is_fast(),
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
        train_dataset=_tokens(splits.train.texts, splits.train.labels, tokenizer),
        eval_dataset=_tokens(splits.validation.texts, splits.validation.labels, tokenizer),
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=4),
        compute_metrics=_metrics,
    )


def adjust_logits_for_class_prior(
    model: Any, tokenizer: Any, splits: Splits, teachers: Sequence[tuple[Any, Any]]
) -> float:
    """Take a share of the log of each class's part of train off the classifier's biases (Menon et
    al. 2021): the share, of 0, 0.1 ... 1, with which the student falls least behind its teachers
    (models and tokenizers) on the validation and calibration texts, in accuracy or in balanced
    accuracy, whichever is further behind. Returns it."""
    counts = torch.tensor(list(splits.train.counts().values()), dtype=torch.float32)
    rarity = -(counts.clamp(min=1) / counts.sum()).log()
    held_out = (splits.validation, splits.calibration)
    labels = [label for dataset in held_out for label in dataset.labels]

    def logits(learned: Any, own: Any) -> torch.Tensor:
        return torch.tensor([row for dataset in held_out for row in record(learned, own, dataset)])

    def reached(found: torch.Tensor) -> tuple[float, float]:
        outputs = found.argmax(-1).tolist()
        return accuracy(labels, outputs), balanced_accuracy(labels, outputs)

    goal = reached(torch.stack([logits(*teacher).softmax(-1) for teacher in teachers]).mean(0))
    own = logits(model, tokenizer)

    def ahead(share: float) -> float:
        return min(
            ours - theirs for ours, theirs in zip(reached(own + share * rarity), goal, strict=True)
        )

    best = max((tenth / 10 for tenth in range(11)), key=ahead)
    with torch.no_grad():
        model.classifier.bias += (best * rarity).to(model.classifier.bias)
    print(f"logit adjustment: {best}", flush=True)
    return best


def _tokens(texts: Sequence[str], labels: Sequence[int], tokenizer: Any) -> datasets.Dataset:
    encoded = tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)
    return datasets.Dataset.from_dict(
        {
            "input_ids": encoded["input_ids"],
            "attention_mask": encoded["attention_mask"],
            "labels": list(labels),
        }
    )


def _metrics(predicted: Any) -> dict[str, float]:
    outputs, labels = predicted.predictions.argmax(-1), predicted.label_ids
    return {
        "accuracy": accuracy(labels, outputs),
        "balanced_accuracy": balanced_accuracy(labels, outputs),
    }


def _bfloat16_is_fast() -> bool:
    """Whether this machine multiplies bfloat16 natively (elsewhere it is many times slower)."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpu = Path("/proc/cpuinfo")
    flags = set(cpu.read_text().split()) if cpu.exists() else set()
    return not flags.isdisjoint({"amx_bf16", "avx512_bf16"})


def _run(
    trainer: Any, out: Path, start: dict[str, str], hp: Hyperparameters, splits: Splits
) -> None:
    """Train, going on from the newest training checkpoint that was written whole.

    Raises:
        CheckpointError: what is there was trained from something else; epochs alone may differ.
    """
    whole = _whole(out)
    begun = out / "training" / "begun.json"
    inputs = {**start, **asdict(hp), "train": splits.train.checksum()}
    del inputs["epochs"]
    if whole:  # else nothing would be gone on with
        before = json.loads(begun.read_text()) if begun.exists() else {}
        if other := sorted(
            k for k in before.keys() | inputs.keys() if before.get(k) != inputs.get(k)
        ):
            raise CheckpointError(
                f"{out / 'training'} was begun with another {', '.join(other)}: delete it to begin "
                "again, or choose another --out"
            )
    else:
        with _saving(out):
            begun.parent.mkdir(parents=True, exist_ok=True)
            temporary = begun.with_suffix(".writing")
            temporary.write_text(json.dumps(inputs, indent=1, sort_keys=True) + "\n")
            temporary.replace(begun)
    for folder in (out / "training").glob("checkpoint-*"):
        if folder not in whole:
            print(f"not whole, and deleted: {folder}", flush=True)  # it only takes up space
            shutil.rmtree(folder)
    if whole:
        print(f"resuming from {whole[-1]}", flush=True)
    with _saving(out):
        trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)


def _whole(out: Path) -> list[Path]:
    """The training checkpoints that were written whole, oldest first: `Trainer` writes
    ``trainer_state.json`` last, and a power cut may still lose the end of what was before it."""
    whole = []
    for folder in (out / "training").glob("checkpoint-*"):
        try:
            json.loads((folder / "trainer_state.json").read_text())
            with safe_open(folder / "model.safetensors", "pt"):
                pass
        except (ValueError, OSError, SafetensorError):
            continue
        if all(map(zipfile.is_zipfile, (folder / "optimizer.pt", folder / "scheduler.pt"))):
            whole.append(folder)
    return sorted(whole, key=lambda path: int(path.name.split("-")[1]))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """While no other run trains into ``out``: each would delete what the other is writing.

    Raises:
        SaveError: another does, or nothing can be written there.
    """
    lock = FileLock(out / "training" / "lock", blocking=False)
    with _saving(out):
        (out / "training").mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise SaveError(
                f"{out}: another run trains into it; wait for it, or choose another --out"
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _saving(out: Path) -> Iterator[None]:
    """Raises SaveError for a file that could not be written, whichever library wrote it."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        said = str(error).strip().partition("\n")[0]
        if "inline_container" in said:  # PyTorch's writer, which does not say why
            said = "PyTorch could not write the whole of a file"
        elif not getattr(error, "errno", None) and "while serializing" not in said:
            raise
        whole = _whole(out)
        disk = next(path for path in (out, *out.absolute().parents) if path.exists())
        raise SaveError(
            f"{out}: cannot be written to ({said}; {shutil.disk_usage(disk).free / 1e6:.0f} MB are "
            "free there). What was whole is kept. Free some space, or mind your rights there, and "
            "run the same command again: it goes on from "
            f"{whole[-1] if whole else 'the beginning'}"
        ) from error


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A folder next to, whose files replace those of ``out`` once all of them are whole."""
    temporary = out / "writing"
    with _saving(out):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for file in sorted(temporary.iterdir()):
                there = out / file.name
                is_shown = file.name == model_card.NAME and there.exists()  # edited, perhaps
                if is_shown and there.read_bytes() != file.read_bytes():
                    kept = there.replace(out / f"{file.name}.before")
                    print(f"the {file.name} that was there: {kept}", flush=True)
                file.replace(there)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _finish(
    model: Any, tokenizer: Any, splits: Splits, out: Path, provenance: dict[str, Any]
) -> ReferenceOutputs:
    """Write the checkpoint, in half precision, and its reference outputs.

    Raises:
        CheckpointError: a parameter is no finite number of half precision: the training diverged.
    """
    model.to(torch.float16)
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise CheckpointError(
                f"{out}: the training diverged ({name} is not finite), and the checkpoint is not "
                "written; train again with a lower --learning-rate"
            )
    with _replacing(out) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        return _record_outputs(temporary, out.resolve().name, splits, provenance)


def _provenance(hp: Hyperparameters, said: Sequence[str], role: str) -> dict[str, Any]:
    start = " ".join(map(_short, said))
    return {"command": _command(), role: start, "hyperparameters": asdict(hp)}


def _content(found: Source) -> str:
    """What of a checkpoint decides a training, wherever its folder lies: of files the SHA-256."""
    if found.from_hub:
        return found.said
    names = {file.name for each in (*FILES, *PICKLED) for file in found.path.glob(each)}
    names.discard("reference_outputs.json")
    return digest({name: file_sha256(found.path / name) for name in sorted(names)})


def _command() -> str:
    return shlex.join(["python", "fit.py", *map(_short, sys.argv[1:])])


def _short(argument: str) -> str:
    """An argument as another machine can read it: of a path outside this folder, the name."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def record_checkpoint(checkpoint: str, splits: Splits, out: Path | None = None) -> ReferenceOutputs:
    """Record the reference outputs of a fine-tuned checkpoint (folder or hub id), which keeps its
    provenance.

    The reference outputs are written next to the weights or, with a copy of the checkpoint, to
    ``out``; what is no safetensors becomes so in the copy.

    Raises:
        CheckpointError: it cannot be read, has no head or tells other classes, or there is no
            ``out`` and it is a hub id or not laid out as it is judged.
        SaveError: no space left; what was written whole is kept.
    """
    found = locate(checkpoint)
    if found.from_hub and out is None:
        raise CheckpointError(
            f"{checkpoint}: the reference outputs of a hub id are written with a copy of it; "
            f"say where: {found.record_command}"
        )
    _require_labels(found, splits.evaluation.label_names, "fine-tune it on these texts first")
    laid_out = (found.path / "tokenizer.json").is_file() and bool(weights.files(found.path))
    if out is None and not laid_out:
        raise CheckpointError(
            f"{checkpoint}: a checkpoint is judged as {', '.join(JUDGED)}, and not all are there; "
            f"write such a copy: {found.record_command} --out DIR"
        )
    try:
        provenance = ReferenceOutputs.load(found.path / "reference_outputs.json").provenance
    except ReferenceOutputsError:  # none, or one that cannot be trusted
        provenance = {"command": _command()}
    if out is None:
        with _saving(found.path):
            return _record_outputs(found.path, found.name, splits, provenance)
    if found.from_hub:
        provenance["checkpoint"] = found.said
    with _replacing(out) as temporary:
        if laid_out:
            for pattern in FILES:
                for file in found.path.glob(pattern):
                    shutil.copyfile(file, temporary / file.name)
        else:
            tokenizer = _tokenizer(found)
            _model(found, tokenizer, may_be_short=True).save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
        return _record_outputs(temporary, out.resolve().name, splits, provenance)


def _record_outputs(
    folder: Path, name: str, splits: Splits, provenance: dict[str, Any]
) -> ReferenceOutputs:
    """Answer the evaluation texts with the checkpoint as written, and write
    ``reference_outputs.json``."""
    found = Source(folder, str(folder), from_hub=False)
    tokenizer = _tokenizer(found)
    model = _model(found, tokenizer, may_be_short=True)
    logits = record(model, tokenizer, splits.evaluation)
    if not all(map(math.isfinite, (x for row in logits for x in row))):
        raise CheckpointError(f"{name}: it answers with what is no number; train it again")
    reference_outputs = ReferenceOutputs.of(
        folder,
        name=name,
        parameters=sum(p.numel() for p in model.parameters()),
        dataset=splits.evaluation,
        logits=logits,
        provenance={
            **provenance,
            "splits": splits.describe(),
            "versions": software_versions("torch", "transformers", "datasets", "tokenizers"),
        },
    )
    reference_outputs.save(folder / "reference_outputs.json")
    if (folder / model_card.NAME).exists():  # of whoever made the checkpoint, perhaps
        print(f"{model_card.NAME} is left as it is: `score --model-card` writes it again")
    else:
        model_card.write(folder, reference_outputs, splits.evaluation)
    found_scores = scores(splits.evaluation, reference_outputs.predictions)
    measured = ", ".join(f"{measure} {x:.1f}%" for measure, x in found_scores.items())
    print(
        f"{name}: {measured.replace('_', ' ')} on {len(splits.evaluation)} evaluation texts",
        flush=True,
    )
    return reference_outputs
