"""Training checkpoints, and the files of the final one: complete or not there.

A training that was killed goes on from the last complete training checkpoint in ``OUT/training``.
The checkpoint that OUT has stays as it is until the next one and its reference outputs are
complete.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from common import atomic
from data.splits import Splits
from models.checkpoints import model_card
from models.errors import CheckpointError, SaveError
from models.training.hyperparameters import Hyperparameters


def train(
    trainer: Any, out: Path, start: dict[str, str], hp: Hyperparameters, splits: Splits
) -> None:
    """Train, going on from the newest complete training checkpoint.

    Args:
        trainer: transformers' `Trainer`.
        out: the folder of the checkpoint to make.
        start: what the training starts from; a training from something else is not continued.
        hp: the hyperparameters; of a continued training, only the epochs may differ.
        splits: the texts.

    Raises:
        CheckpointError: what is there was trained from something else.
        SaveError: no space left.
    """
    complete = complete_checkpoints(out)
    begun = out / "training" / "begun.json"
    inputs = {**start, **asdict(hp), "train": splits.train.checksum()}
    del inputs["epochs"]
    if complete:  # else nothing would be continued
        before = json.loads(begun.read_text()) if begun.exists() else {}
        if other := sorted(
            k for k in before.keys() | inputs.keys() if before.get(k) != inputs.get(k)
        ):
            raise CheckpointError(
                f"{out / 'training'} was begun with another {', '.join(other)}: delete it to begin "
                "again, or choose another --out"
            )
    else:
        with saving(out):
            atomic.write_text(begun, json.dumps(inputs, indent=1, sort_keys=True) + "\n")
    for folder in (out / "training").glob("checkpoint-*"):
        if folder not in complete:
            print(f"incomplete, and deleted: {folder}", flush=True)  # it only takes up space
            shutil.rmtree(folder)
    if complete:
        print(f"resuming from {complete[-1]}", flush=True)
    with saving(out):
        trainer.train(resume_from_checkpoint=str(complete[-1]) if complete else None)


def complete_checkpoints(out: Path) -> list[Path]:
    """Return the complete training checkpoints, oldest first.

    `Trainer` writes ``trainer_state.json`` last, and a power cut may still lose the end of what was
    before it.
    """
    complete = []
    for folder in (out / "training").glob("checkpoint-*"):
        try:
            json.loads((folder / "trainer_state.json").read_text())
            with safe_open(folder / "model.safetensors", "pt"):
                pass
        except (ValueError, OSError, SafetensorError):
            continue
        if all(map(zipfile.is_zipfile, (folder / "optimizer.pt", folder / "scheduler.pt"))):
            complete.append(folder)
    return sorted(complete, key=lambda path: int(path.name.split("-")[1]))


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Let no other run train into ``out``: each would delete what the other is writing.

    Raises:
        SaveError: another does, or nothing can be written there.
    """
    lock = FileLock(out / "training" / "lock", blocking=False)
    with saving(out):
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
def saving(out: Path) -> Iterator[None]:
    """Raise SaveError for a file that could not be written, whichever library wrote it."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        message = str(error).strip().partition("\n")[0]
        if "inline_container" in message or "iostream" in message:  # PyTorch's, without a why
            message = "PyTorch could not write a complete file"
        elif not getattr(error, "errno", None) and "while serializing" not in message:
            raise
        complete = complete_checkpoints(out)
        disk = next(path for path in (out, *out.absolute().parents) if path.exists())
        raise SaveError(
            f"{out}: cannot be written to ({message}; {shutil.disk_usage(disk).free / 1e6:.0f} MB "
            "are free there). What was complete is kept. Free some space, or check your rights "
            "there, and run the same command again: it goes on from "
            f"{complete[-1] if complete else 'the beginning'}"
        ) from error


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Give a folder whose files replace those of ``out`` once all of them are complete.

    A model card that is there and differs is kept as ``README.md.before``.

    Raises:
        SaveError: nothing can be written there.
    """
    temporary = out / "writing"
    with saving(out):
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
