"""Record reference outputs: what a checkpoint answers in PyTorch, and what it was made by."""

from __future__ import annotations

import inspect
import json
import math
import shlex
import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from data.dataset import Dataset
from data.metrics import scores
from data.splits import Splits
from models.architectures import architectures, positions, with_defaults
from models.checkpoints import model_card
from models.checkpoints.checkpoint import FILES as JUDGED
from models.checkpoints.checkpoint import class_names, is_laid_out, read_config
from models.checkpoints.hub import FILES, Source, locate
from models.checkpoints.probes import Probe, probes
from models.checkpoints.reference_outputs import ReferenceOutputs, software_versions
from models.errors import CheckpointError, ReferenceOutputsError
from models.training import loading
from models.training.checkpointing import replacing, saving
from models.training.hyperparameters import Hyperparameters


def record(
    model: Any, tokenizer: Any, dataset: Dataset, longest: int, *, progress: bool = False
) -> list[list[float]]:
    """Return a model's logits for every text, in order: (texts, classes).

    Args:
        model: transformers' classifier.
        tokenizer: its tokenizer.
        dataset: the texts.
        longest: tokens that a text is cut at.
        progress: whether to show how far it is, on standard error.
    """
    order = sorted(range(len(dataset)), key=lambda i: len(dataset.texts[i]))
    logits: dict[int, list[float]] = {}
    model.eval()
    shown = tqdm(
        total=len(order),
        desc="recording in PyTorch",
        unit=" texts",
        disable=not progress,
        mininterval=0.5 if sys.stderr.isatty() else 30,
    )
    with shown, torch.inference_mode():
        for start in range(0, len(order), 64):
            batch = order[start : start + 64]
            tokens = tokenizer(
                [dataset.texts[i] for i in batch],
                truncation=True,
                max_length=longest,
                padding=True,
                return_tensors="pt",
            ).to(model.device)
            logits.update(zip(batch, model(**tokens).logits.float().tolist(), strict=True))
            shown.update(len(batch))
    return [logits[i] for i in range(len(dataset))]


def record_probes(model: Any, probes: Sequence[Probe]) -> list[list[float]]:
    """Return a model's logits for every probe, in order: (probes, classes)."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for n, probe in enumerate(probes):
        by_length[len(probe.ids)].append(n)
    has_types = "token_type_ids" in inspect.signature(model.forward).parameters
    logits: dict[int, list[float]] = {}
    model.eval()
    with torch.inference_mode():
        for places in by_length.values():
            for batch in (places[n : n + 64] for n in range(0, len(places), 64)):
                asked = {"input_ids": torch.tensor([probes[n].ids for n in batch])}
                asked["attention_mask"] = torch.ones_like(asked["input_ids"])
                if has_types:
                    asked["token_type_ids"] = torch.tensor([probes[n].types for n in batch])
                logits.update(zip(batch, model(**asked).logits.float().tolist(), strict=True))
    return [logits[n] for n in range(len(probes))]


def record_checkpoint(
    checkpoint: str,
    splits: Splits,
    out: Path | None = None,
    label_names: Sequence[str] | None = None,
    lengths: Sequence[int] | None = None,
) -> ReferenceOutputs:
    """Record the reference outputs of a fine-tuned checkpoint, which keeps its provenance.

    They are written next to the weights or, with a copy of the checkpoint, to ``out``. What is no
    safetensors becomes so in the copy. The classes keep the checkpoint's own order and names; those
    of the texts meet them by name.

    Args:
        checkpoint: a folder or a hub id.
        splits: the texts; the evaluation split is answered.
        out: a folder for a copy.
        label_names: the classes in the order of the logits, instead of those of config.json. The
            copy's config.json gets them.
        lengths: tokens of each signature, in ascending order, instead of those that pad least on
            the train split. Texts are cut at the longest.

    Raises:
        CheckpointError: it cannot be read, has no head, classes without names or too few positions
            for ``lengths``; or there is no ``out`` and it is a hub id or not laid out as it is
            judged.
        DatasetError: the texts have other classes.
        SaveError: no space left; what was complete is kept.
    """
    found = locate(checkpoint)
    if found.from_hub and out is None:
        raise CheckpointError(
            f"{checkpoint}: the reference outputs of a hub id are written with a copy of it; "
            f"say where: {found.record_command}"
        )
    names = class_names(found, label_names)
    splits = splits.reordered(names)
    laid_out = is_laid_out(found.path)
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
        with saving(found.path):
            return _record_outputs(found.path, found.name, splits, provenance, lengths)
    if found.from_hub:
        provenance["checkpoint"] = found.said
    with replacing(out) as temporary:
        if laid_out:
            for pattern in FILES:
                for file in found.path.glob(pattern):
                    shutil.copyfile(file, temporary / file.name)
        else:
            tokenizer = loading.read_tokenizer(found)
            model = loading.read_classifier(found, tokenizer, **_named(names, int))
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
        if label_names is not None:
            config = json.loads((temporary / "config.json").read_text()) | _named(names, str)
            (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        return _record_outputs(temporary, out.resolve().name, splits, provenance, lengths)


def save_with_outputs(
    model: Any,
    tokenizer: Any,
    splits: Splits,
    out: Path,
    provenance: dict[str, Any],
    *,
    lengths: Sequence[int],
) -> ReferenceOutputs:
    """Write a trained checkpoint, in half precision, and its reference outputs for ``lengths``.

    Raises:
        CheckpointError: a parameter is no finite number of half precision: the training diverged.
        SaveError: no space left; what was complete is kept.
    """
    model.to(torch.float16)
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise CheckpointError(
                f"{out}: the training diverged ({name} is not finite), and the checkpoint is not "
                "written; train again with a lower --learning-rate"
            )
    with replacing(out) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        return _record_outputs(temporary, out.resolve().name, splits, provenance, lengths)


def provenance_of(hp: Hyperparameters, said: Sequence[str], role: str) -> dict[str, Any]:
    """Return the command, what a training starts from (``role``), and its hyperparameters."""
    start = " ".join(map(short, said))
    return {"command": _command(), role: start, "hyperparameters": asdict(hp)}


def short(argument: str) -> str:
    """Return an argument as another machine can read it: of an absolute path, the name."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def _command() -> str:
    return shlex.join(["python", "fit.py", *map(short, sys.argv[1:])])


def _named(names: Sequence[str], key: type) -> dict[str, Any]:
    """Return the fields of a configuration that name its classes."""
    return {
        "id2label": {key(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def _record_outputs(
    folder: Path,
    name: str,
    splits: Splits,
    provenance: dict[str, Any],
    lengths: Sequence[int] | None,
) -> ReferenceOutputs:
    """Answer the evaluation texts with the checkpoint as written; write the reference outputs."""
    found = Source(folder, str(folder), from_hub=False)
    names = splits.evaluation.label_names
    tokenizer = loading.read_tokenizer(found)
    model = loading.read_classifier(found, tokenizer, **_named(names, int))
    lengths = loading.chosen_lengths(model, tokenizer, splits, lengths)
    logits = record(model, tokenizer, splits.evaluation, lengths[-1], progress=True)
    if not all(map(math.isfinite, (x for row in logits for x in row))):
        raise CheckpointError(f"{name}: it answers with what is no number; train it again")
    asked = _probes(folder)
    reference_outputs = ReferenceOutputs.of(
        folder,
        name=name,
        parameters=sum(p.numel() for p in model.parameters()),
        dataset=splits.evaluation,
        logits=logits,
        lengths=lengths,
        probes=asked,
        probe_logits=record_probes(model, asked),
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
        f"{name}: {measured.replace('_', ' ')} on {len(splits.evaluation)} evaluation texts, for "
        f"signatures of {', '.join(map(str, lengths))} tokens",
        flush=True,
    )
    return reference_outputs


def _probes(folder: Path) -> list[Probe]:
    """Return the probes of a checkpoint as it is judged; none if only its outputs can be used."""
    config = with_defaults(read_config(folder)[0])
    if config["model_type"] not in architectures():
        return []
    return probes(folder / "tokenizer.json", config, positions(config))
