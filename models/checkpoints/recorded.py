"""Reference outputs that are recorded when they are needed, into the cache.

The checkpoint's own folder is never written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from common.cache import Cache
from common.checksum import file_sha256
from data.dataset import Dataset
from data.splits import Splits
from models.architectures import architecture_of
from models.checkpoints.checkpoint import (
    OUTPUTS,
    Checkpoint,
    class_names,
    content,
    is_laid_out,
    open_checkpoint,
    read_config,
)
from models.checkpoints.hub import Source, locate
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.errors import ReferenceOutputsError

# What recording imports, of the dependency group `train`.
PACKAGES = ("torch", "transformers")


def recorded(
    checkpoint: str,
    splits: Splits,
    cache: Cache,
    label_names: Sequence[str] | None = None,
    *,
    lengths: Sequence[int] | None = None,
    advice: str = "install what recording needs: python -m pip install --group train",
) -> Source:
    """Return a checkpoint that has reference outputs of the evaluation texts.

    It is the checkpoint itself if it has them, else a copy in the cache, made and recorded unless
    the cache has it. The cache's key is the checkpoint's content, its classes and the texts.

    Args:
        checkpoint: a folder or a hub id.
        splits: the texts.
        cache: where the copy is kept.
        label_names: its classes in the order of the logits, instead of those of config.json.
        lengths: tokens of each signature, in ascending order, instead of those that pad least on
            the train split.
        advice: what the error says to do where PyTorch is missing.

    Raises:
        CheckpointError: it cannot be judged.
        DatasetError: the texts have other classes.
        ReferenceOutputsError: they are to be recorded, and PyTorch is missing.
        SaveError: no space left.
    """
    found = locate(checkpoint)
    names = class_names(found, label_names)
    evaluation = splits.evaluation.reordered(names)
    if is_laid_out(found.path):
        # What is not judged need not be recorded.
        opened = open_checkpoint(checkpoint, label_names, lengths)
        if label_names is None and _has_outputs(opened, evaluation):
            return found
    else:
        architecture_of(read_config(found.path)[0])
    name = _folder_name(found)

    def build(folder: Path) -> None:
        if missing := [package for package in PACKAGES if find_spec(package) is None]:
            raise ReferenceOutputsError(
                f"{found.said}: no reference outputs of {evaluation.name} yet, and this Python has "
                f"no {' and no '.join(missing)} to record them; {advice}"
            )
        from models.training.recording import record_checkpoint

        record_checkpoint(checkpoint, splits, folder / name, label_names, lengths)

    artifact = cache.get_or_build(
        "recorded",
        {
            "checkpoint": content(found),
            "name": name,
            "labels": names,
            "texts": evaluation.checksum(),
            "lengths": lengths or f"chosen for {splits.train.checksum()}",
        },
        build,
        code=["models.training.recording"],
    )
    return locate(str(artifact.path / name))


def as_accuracy_reference(found: Source, cache: Cache) -> Path:
    """Return a folder whose reference outputs are the checkpoint's own, and say so by their name.

    Held against them, a model file's drop is what quantization and runtime cost alone.
    """
    file = found.path / OUTPUTS

    def build(folder: Path) -> None:
        outputs = ReferenceOutputs.load(file)
        itself = replace(outputs, name=f"{outputs.name} in PyTorch (the candidate itself)")
        itself.save(folder / OUTPUTS)

    inputs = {"reference_outputs": file_sha256(file)}
    return cache.get_or_build("reference", inputs, build, code=[__name__], quiet=True).path


def are_of(folder: Path, dataset: Dataset) -> bool:
    """Return whether a folder has reference outputs of these texts, whatever order the classes
    have."""
    try:
        outputs = ReferenceOutputs.load(folder / OUTPUTS)
    except ReferenceOutputsError:
        return False
    return outputs.samples_sha256 == dataset.checksum()


def _has_outputs(checkpoint: Checkpoint, evaluation: Dataset) -> bool:
    try:
        checkpoint.reference_outputs().require(evaluation, checkpoint.path)
    except ReferenceOutputsError:
        return False
    return True


def _folder_name(found: Source) -> str:
    """The name of the copy, which reports show."""
    if not found.from_hub:
        return found.path.resolve().name
    repository, _, commit = found.said.partition("@")
    return f"{repository.replace('/', '--')}@{commit[:12]}"
