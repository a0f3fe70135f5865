"""Train, record and keep models: ``python -m models --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.argtypes import number
from common.cache import Cache
from data import readers
from data.dataset import DatasetError
from data.metrics import scores
from data.readers import replab2013
from data.splits import load_splits
from data.unlabeled import read_unlabeled
from models import modes
from models.checkpoints import bundle
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.errors import (
    BundleError,
    CheckpointError,
    ConvertError,
    QuantizeError,
    ReferenceOutputsError,
    SaveError,
)
from models.modes import DEFAULT, MODES
from models.training.vocab_pruning import FIRST_WORD

ZOO = Path(__file__).parent / "zoo"
_FAULTS = (
    BundleError,
    ReferenceOutputsError,
    CheckpointError,
    ConvertError,
    QuantizeError,
    SaveError,
    DatasetError,
)


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 2 when the input or the disk is at fault."""
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    where = "a folder, or a hub id (org/name, org/name@REVISION)"
    finetune = commands.add_parser("finetune", help="train an encoder on labelled texts")
    finetune.add_argument("checkpoint", help=f"a checkpoint: {where}")
    distill = commands.add_parser("distill", help="train a MobileBERT from fine-tuned teachers")
    distill.add_argument(
        "teachers", nargs="+", metavar="teacher", help=f"a fine-tuned checkpoint: {where}"
    )
    distill.add_argument("--student", help="a student to go on from, instead of a fresh MobileBERT")
    distill.add_argument("--hidden-weight", type=number(float, 0), default=1.0)
    distill.add_argument("--varied-share", type=number(float, 0, 1), default=0.0)
    distill.add_argument("--layers", type=number(int, 1), default=24)
    distill.add_argument(
        "--vocabulary",
        type=number(int, FIRST_WORD + 1),
        metavar="N",
        help="of the student: that many word pieces",
    )
    distill.add_argument(
        "--unlabeled",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="further texts to learn the teacher's answers of: one a line (.txt), or a column text",
    )
    record = commands.add_parser("record", help="write a checkpoint's reference outputs again")
    record.add_argument("checkpoint", help=f"a fine-tuned checkpoint: {where}")
    record.add_argument(
        "--out", type=Path, help="a folder for a copy of it with its reference outputs"
    )
    score = commands.add_parser(
        "score", help="reference outputs's measures, next to those of constant answers"
    )
    score.add_argument("reference_outputs", type=Path, help="the folder of the reference outputs")
    score.add_argument("--run", type=Path, help="write its answers in RepLab 2013's run format")
    score.add_argument(
        "--model-card",
        action="store_true",
        help="write it as README.md into that folder, again",
    )
    score.add_argument("--gold", type=Path, help="write the labels so, for RepLab's own scorer")
    pack = commands.add_parser("bundle", help="write all that a board needs as one file")
    pack.add_argument("checkpoint", nargs="?", default=str(ZOO / "mobilebert-brands"))
    pack.add_argument("--reference", type=Path, default=ZOO / "minilm-brands")
    pack.add_argument("--mode", action="append", choices=MODES, help="only this mode (repeatable)")
    pack.add_argument("--out", type=Path, required=True, help="the file to write")
    layers = commands.add_parser("layers", help="how far a mode drifts from float32, by layer")
    layers.add_argument("checkpoint", help=f"a fine-tuned checkpoint: {where}")
    layers.add_argument("--mode", default="full_integer", choices=[*MODES])
    layers.add_argument(
        "--count", type=number(int, 1), default=16, help="calibration texts to answer"
    )
    prune = commands.add_parser("prune", help="delete what the cache keeps and nobody needs")
    for command in (pack, layers, prune):
        command.add_argument("--cache-dir", type=Path, default=Path(".cache"))
    prune.add_argument("--older-than-days", type=float, default=30.0)
    for command, epochs, rate in ((finetune, 2.0, 8e-5), (distill, 3.0, 4e-4)):
        command.add_argument("--out", type=Path, required=True, help="the folder to write")
        command.add_argument("--epochs", type=number(float, 0.001), default=epochs)
        command.add_argument("--learning-rate", type=number(float, 0), default=rate)
        command.add_argument("--batch-size", type=number(int, 1), default=32)
        command.add_argument("--seed", type=number(int, 0), default=0)
    for command in (finetune, distill, record, score, pack, layers):
        command.add_argument(
            "--dataset",
            default="brands",
            help=f"{', '.join(readers.NAMES)}, a file, folder or id; options: NAME:key=value",
        )
    args = parser.parse_args(argv)
    if args.command == "prune":
        for path in Cache(args.cache_dir).prune(args.older_than_days):
            print(f"deleted {path}")
        return 0
    run = {"score": _score, "bundle": _bundle, "layers": _layers}.get(args.command, _train)
    try:
        return run(args)
    except _FAULTS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _train(args: argparse.Namespace) -> int:
    # PyTorch lives only in the training environment; other commands do without it.
    from models.training import train

    splits = load_splits(args.dataset)
    if args.command == "record":
        train.record_checkpoint(args.checkpoint, splits, args.out)
        print(
            f"reference outputs: {(args.out or Path(args.checkpoint)) / 'reference_outputs.json'}"
        )
        return 0
    hp = train.Hyperparameters(
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        seed=args.seed,
        batch_size=args.batch_size,
        hidden_weight=getattr(args, "hidden_weight", 0.0),
        varied_share=getattr(args, "varied_share", 0.0),
        layers=getattr(args, "layers", 24),
        vocabulary=getattr(args, "vocabulary", None),
    )
    if args.command == "finetune":
        train.finetune(args.checkpoint, splits, args.out, hp)
    else:
        more = read_unlabeled(args.unlabeled, splits) if args.unlabeled else None
        train.distill(args.teachers, splits, args.out, hp, student=args.student, unlabeled=more)
    print(f"checkpoint and reference outputs: {args.out}")
    return 0


def _bundle(args: argparse.Namespace) -> int:
    splits = load_splits(args.dataset)
    candidate = open_checkpoint(args.checkpoint)
    model_files = {
        mode: modes.build(mode, candidate, Cache(args.cache_dir), splits.calibration)
        for mode in args.mode or DEFAULT
    }
    bundle.write(args.out, candidate, args.reference, splits, model_files)
    print(f"bundle of {', '.join(model_files)}: {args.out}, {args.out.stat().st_size / 1e6:.1f} MB")
    return 0


def _layers(args: argparse.Namespace) -> int:
    from models.tflite import layer_error

    splits = load_splits(args.dataset)
    checkpoint, cache = open_checkpoint(args.checkpoint), Cache(args.cache_dir)
    errors = layer_error.of_mode(checkpoint, args.mode, cache, splits.calibration, args.count)
    before = 0.0
    print("| what is handed on | error (% of the signal) | added |\n| --- | ---: | ---: |")
    for where, error in errors.items():
        added = "" if where == "logits" else f"{100 * (error - before):+.2f}"
        print(f"| {where} | {100 * error:.2f} | {added} |")
        before = error
    return 0


def _score(args: argparse.Namespace) -> int:
    splits = load_splits(args.dataset)
    dataset, in_train = splits.evaluation, splits.train.counts()
    reference_outputs = ReferenceOutputs.load(args.reference_outputs / "reference_outputs.json")
    reference_outputs.require(dataset)
    outputs = {reference_outputs.name: reference_outputs.predictions}
    for index, name in enumerate(dataset.label_names):
        most = " (most of train)" if in_train[name] == max(in_train.values()) else ""
        outputs[f"always {name}{most}"] = (index,) * len(dataset)
    for who, given in outputs.items():
        measured = ", ".join(f"{name} {x:.1f}%" for name, x in scores(dataset, given).items())
        measured = measured.replace("_", " ")
        print(f"{who}: {measured}")
    for path, labels in ((args.run, reference_outputs.predictions), (args.gold, dataset.labels)):
        if path:
            with _writing(path):
                replab2013.write_run(path, dataset, labels)
            print(f"written: {path}")
    if args.model_card:
        from models.checkpoints import model_card

        with _writing(args.reference_outputs / model_card.NAME):
            print(
                f"written: {model_card.write(args.reference_outputs, reference_outputs, dataset)}"
            )
    return 0


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raises SaveError for what cannot be written."""
    try:
        yield
    except OSError as error:
        raise SaveError(
            f"{path}: cannot be written to ({error.strerror}); mind your rights and the space there"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
