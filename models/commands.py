"""Commands of `fit.py` that train, record and keep models."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.argtypes import lengths, names, number
from data import readers
from models.errors import BundleError, SaveError
from models.training.vocab_pruning import FIRST_WORD

if TYPE_CHECKING:
    from common.cache import Cache
    from data.splits import Splits
    from models.checkpoints.checkpoint import Checkpoint

ZOO = Path(__file__).parent / "zoo"
REFERENCE = ZOO / "minilm-brands"
CACHE = Path(".cache")
_CHECKPOINT = "a fine-tuned checkpoint: a folder, or a hub id (org/name, org/name@REVISION)"


def register(subparsers: Any) -> None:
    """Add this room's commands."""
    _add_record(subparsers)
    _add_score(subparsers)
    _add_bundle(subparsers)
    _add_export(subparsers)
    _add_layers(subparsers)
    _add_finetune(subparsers)
    _add_distill(subparsers)
    _add_small(subparsers)
    prune = subparsers.add_parser(
        "prune",
        help="delete what the cache no longer needs",
        epilog="example: python fit.py prune --older-than-days 30",
    )
    prune.add_argument("--older-than-days", type=number(float, 0), default=30.0, metavar="DAYS")
    _add_cache(prune)
    prune.set_defaults(run=_prune)


def _add_record(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "record",
        help="write a checkpoint's reference outputs",
        epilog="example: python fit.py record runs/my-checkpoint",
    )
    parser.add_argument("checkpoint", help=_CHECKPOINT)
    parser.add_argument("--out", type=Path, metavar="DIR", help="a folder for a copy that has them")
    parser.add_argument(
        "--labels",
        type=names,
        metavar="A,B,C",
        help="its classes in the order of its logits, instead of those of config.json",
    )
    _add_lengths(parser)
    _add_dataset(parser)
    parser.set_defaults(run=_record, environment="train")


def _add_score(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "score",
        help="print a checkpoint's measures",
        epilog="example: python fit.py score runs/my-checkpoint",
        description="Print the measures of reference outputs, next to those of constant answers.",
    )
    parser.add_argument("checkpoint", type=Path, help="the folder of the reference outputs")
    parser.add_argument(
        "--run", dest="run_file", type=Path, metavar="FILE", help="write a RepLab 2013 run"
    )
    parser.add_argument(
        "--gold", type=Path, metavar="FILE", help="write the labels for RepLab's own scorer"
    )
    parser.add_argument(
        "--model-card", action="store_true", help="write README.md into that folder again"
    )
    _add_dataset(parser)
    parser.set_defaults(run=_score)


def _add_bundle(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "bundle",
        help="write all that a board needs as one file",
        epilog="example: python fit.py bundle --out candidate.zip",
    )
    parser.add_argument(
        "checkpoint", nargs="?", default=str(ZOO / "mobilebert-brands"), help=_CHECKPOINT
    )
    parser.add_argument(
        "--reference",
        type=Path,
        default=REFERENCE,
        metavar="DIR",
        help="the accuracy reference: a folder with its reference_outputs.json",
    )
    parser.add_argument(
        "--mode", action="append", type=_mode, metavar="MODE", help="only this mode (repeatable)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    _add_lengths(parser, "those that its reference outputs were recorded for")
    _add_dataset(parser)
    _add_cache(parser)
    parser.set_defaults(run=_bundle)


def _add_export(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "export",
        help="write a model file for MediaPipe",
        epilog="example: python fit.py export --mode int4 --out model.tflite",
        description="Write one file that MediaPipe's TextClassifier loads: a signature, vocabulary "
        "and labels. It answers probabilities.",
    )
    parser.add_argument(
        "checkpoint", nargs="?", default=str(ZOO / "mobilebert-brands"), help=_CHECKPOINT
    )
    parser.add_argument("--mode", type=_mode, default="dynamic_range", metavar="MODE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--length",
        type=number(int, 1),
        metavar="N",
        help="tokens of a text: those of a signature (default: the longest)",
    )
    parser.add_argument(
        "--labels",
        type=names,
        metavar="A,B,C",
        help="its classes in the order of its logits, instead of those of config.json",
    )
    _add_dataset(parser)
    _add_cache(parser)
    parser.set_defaults(run=_export)


def _add_layers(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "layers",
        help="show a mode's error layer by layer",
        epilog="example: python fit.py layers runs/my-checkpoint",
        description="Show how far a mode drifts from float32, layer by layer.",
    )
    parser.add_argument("checkpoint", help=_CHECKPOINT)
    parser.add_argument("--mode", type=_mode, default="full_integer", metavar="MODE")
    parser.add_argument(
        "--count", type=number(int, 1), default=16, metavar="N", help="calibration texts to use"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the errors as JSON too")
    parser.add_argument(
        "--model-explorer",
        type=Path,
        metavar="DIR",
        help="write both files, and the error of each tensor as an overlay of Model Explorer",
    )
    _add_dataset(parser)
    _add_cache(parser)
    parser.set_defaults(run=_layers)


def _add_finetune(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "finetune",
        help="train an encoder on labelled texts",
        epilog="example: python fit.py finetune org/name --out runs/mine",
    )
    parser.add_argument("checkpoint", help="a pre-trained encoder: a folder, or a hub id")
    _add_training(parser, epochs=2.0, learning_rate=8e-5)
    parser.set_defaults(run=_finetune, environment="train")


def _add_distill(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "distill",
        help="train a student from fine-tuned teachers",
        epilog="example: python fit.py distill runs/mine --out runs/student",
    )
    parser.add_argument("teachers", nargs="+", metavar="teacher", help=_CHECKPOINT)
    parser.add_argument("--student", help="continue from this student, not from a new MobileBERT")
    parser.add_argument("--layers", type=number(int, 1), default=24, metavar="N")
    _add_unlabeled(parser)
    parser.add_argument("--varied-share", type=number(float, 0, 1), default=0.0)
    parser.add_argument("--hidden-weight", type=number(float, 0), default=1.0)
    _add_training(parser, epochs=3.0, learning_rate=4e-4)
    parser.set_defaults(run=_distill, environment="train")


def _add_small(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "small",
        help="train a small student from teachers",
        epilog="example: python fit.py small runs/mine --vocabulary 8000 --out runs/small",
        description="Distil a small student from fine-tuned teachers, which answer every text "
        "once: a convolution over word pieces (text_cnn), or a static embedding, the mean of the "
        "vectors of pieces and pairs.",
    )
    parser.add_argument("teachers", nargs="+", metavar="teacher", help=_CHECKPOINT)
    parser.add_argument("--kind", choices=["text_cnn", "static_embedding"], default="text_cnn")
    parser.add_argument("--width", type=number(int, 1), default=128, help="of a piece's vector")
    parser.add_argument(
        "--bigram-rows",
        type=number(int, 0),
        default=0,
        metavar="N",
        help="vectors of pairs of a static embedding",
    )
    parser.add_argument(
        "--hidden-size",
        type=number(int, 0),
        default=256,
        metavar="N",
        help="filters of a text_cnn; of a static embedding a dense layer, or 0",
    )
    parser.add_argument(
        "--copies", type=number(int, 0), default=2, metavar="N", help="varied copies of each text"
    )
    parser.add_argument("--dropped-share", type=number(float, 0, 1), default=0.1)
    _add_unlabeled(parser)
    _add_training(parser, epochs=4.0, learning_rate=3e-3)
    parser.set_defaults(run=_small, environment="train", batch_size=256)


def _add_unlabeled(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unlabeled",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="more texts for the teachers to label: a line each (.txt), or a column `text`",
    )


def _add_training(parser: argparse.ArgumentParser, *, epochs: float, learning_rate: float) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--epochs", type=number(float, 0.001), default=epochs)
    parser.add_argument("--learning-rate", type=number(float, 0), default=learning_rate)
    parser.add_argument("--batch-size", type=number(int, 1), default=32)
    parser.add_argument("--seed", type=number(int, 0), default=0)
    parser.add_argument(
        "--vocabulary",
        type=number(int, FIRST_WORD + 1),
        metavar="N",
        help="keep that many pieces of the vocabulary: the most frequent in the train split",
    )
    _add_lengths(parser)
    _add_dataset(parser)


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset",
        default="brands",
        metavar="SOURCE",
        help=f"labelled texts: {', '.join(readers.NAMES)}, a file, folder or hub id; options: "
        "NAME:key=value,key=value",
    )


def _add_lengths(
    parser: argparse.ArgumentParser, default: str = "those that pad least on the train split"
) -> None:
    parser.add_argument(
        "--lengths",
        type=lengths,
        metavar="N,N",
        help=f"tokens of the signatures; texts are cut at the longest (default: {default})",
    )


def _add_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache-dir", type=Path, default=CACHE, metavar="DIR")


def _mode(name: str) -> str:
    """Return a mode's name, or refuse it. The modes are imported only when one is named."""
    from models.modes import MODES

    if name not in MODES:
        raise argparse.ArgumentTypeError(f"unknown mode {name!r}; there are {', '.join(MODES)}")
    return name


def _prune(args: argparse.Namespace) -> int:
    from common.cache import Cache

    for path in Cache(args.cache_dir).prune(args.older_than_days):
        print(f"deleted {path}")
    return 0


def _record(args: argparse.Namespace) -> int:
    from data.splits import load_splits
    from models.training.recording import record_checkpoint

    splits = load_splits(args.dataset)
    record_checkpoint(args.checkpoint, splits, args.out, args.labels, args.lengths)
    print(f"reference outputs: {(args.out or Path(args.checkpoint)) / 'reference_outputs.json'}")
    return 0


def _finetune(args: argparse.Namespace) -> int:
    from data.splits import load_splits
    from models.training.finetune import finetune

    splits, hp = load_splits(args.dataset), _hyperparameters(args)
    finetune(args.checkpoint, splits, args.out, hp, lengths=args.lengths)
    print(f"checkpoint and reference outputs: {args.out}")
    return 0


def _distill(args: argparse.Namespace) -> int:
    from data.splits import load_splits
    from data.unlabeled import read_unlabeled
    from models.training.distill import distill

    splits, hp = load_splits(args.dataset), _hyperparameters(args)
    more = read_unlabeled(args.unlabeled, splits) if args.unlabeled else None
    how = {"student": args.student, "lengths": args.lengths, "unlabeled": more}
    distill(args.teachers, splits, args.out, hp, **how)
    print(f"checkpoint and reference outputs: {args.out}")
    return 0


def _small(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from data.splits import load_splits
    from data.unlabeled import read_unlabeled
    from models.training.small_student import SmallHyperparameters, distill_small

    splits = load_splits(args.dataset)
    more = read_unlabeled(args.unlabeled, splits) if args.unlabeled else None
    hp = SmallHyperparameters(
        **asdict(_hyperparameters(args)),
        kind=args.kind,
        width=args.width,
        bigram_rows=args.bigram_rows,
        hidden_size=args.hidden_size,
        copies=args.copies,
        dropped_share=args.dropped_share,
    )
    distill_small(args.teachers, splits, args.out, hp, lengths=args.lengths, unlabeled=more)
    print(f"checkpoint and reference outputs: {args.out}")
    return 0


def _hyperparameters(args: argparse.Namespace) -> Any:
    from models.training.hyperparameters import Hyperparameters

    return Hyperparameters(
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        seed=args.seed,
        batch_size=args.batch_size,
        hidden_weight=getattr(args, "hidden_weight", 0.0),
        varied_share=getattr(args, "varied_share", 0.0),
        layers=getattr(args, "layers", 24),
        vocabulary=getattr(args, "vocabulary", None),
    )


def _bundle(args: argparse.Namespace) -> int:
    from common.cache import Cache
    from data.splits import load_splits
    from models import modes
    from models.checkpoints import bundle
    from models.checkpoints.checkpoint import open_checkpoint

    splits = load_splits(args.dataset)
    candidate = open_checkpoint(args.checkpoint, lengths=args.lengths)
    model_files = {
        mode: modes.build(mode, candidate, Cache(args.cache_dir), splits.calibration)
        for mode in args.mode or modes.DEFAULT
    }
    _require_own_weights(candidate, Cache(args.cache_dir), splits, model_files)
    bundle.write(
        args.out,
        candidate,
        args.reference,
        splits,
        model_files,
        is_default_reference=args.reference.resolve() == REFERENCE.resolve(),
    )
    print(f"bundle of {', '.join(model_files)}: {args.out}, {args.out.stat().st_size / 1e6:.1f} MB")
    return 0


def _require_own_weights(
    candidate: Checkpoint, cache: Cache, splits: Splits, model_files: Mapping[str, Path]
) -> None:
    """Raise BundleError if a file has other weights than the candidate: a board cannot compare."""
    from models import modes
    from models.tflite.constants import differences

    made_from = modes.build("float32", candidate, cache, splits.calibration)
    for mode, path in model_files.items():
        if path != made_from and (found := differences(path, made_from)[1]):
            raise BundleError(
                f"{mode}: {len(found)} constants are not the checkpoint's; {found[0].name}: "
                f"{found[0].what}: delete {path.parent}, and build it again"
            )


def _export(args: argparse.Namespace) -> int:
    from common import atomic
    from common.cache import Cache
    from data.splits import load_splits
    from models import modes
    from models.checkpoints.checkpoint import open_checkpoint
    from models.tflite.task_file import read_otherwise, task_file

    splits, checkpoint = load_splits(args.dataset), open_checkpoint(args.checkpoint, args.labels)
    texts = splits.evaluation.texts
    others = read_otherwise(checkpoint, texts)  # first: it refuses another tokenizer
    made = modes.build(args.mode, checkpoint, Cache(args.cache_dir), splits.calibration)
    content = task_file(made.read_bytes(), checkpoint, args.length)
    with _writing(args.out):
        atomic.write_bytes(args.out, content)
    print(f"{checkpoint.name} in {args.mode}: {args.out}, {len(content) / 1e6:.1f} MB")
    print(
        f"MediaPipe cuts {len(others)} of {len(texts)} evaluation texts into other tokens: it "
        "makes only ASCII's letters small, and strips no accents"
    )
    return 0


def _layers(args: argparse.Namespace) -> int:
    import json

    from common import atomic
    from common.cache import Cache
    from data.splits import load_splits
    from models.checkpoints.checkpoint import open_checkpoint
    from models.tflite import layer_error

    splits = load_splits(args.dataset)
    checkpoint, cache = open_checkpoint(args.checkpoint), Cache(args.cache_dir)
    errors = layer_error.of_mode(
        checkpoint,
        args.mode,
        cache,
        splits.calibration,
        args.count,
        explorer=args.model_explorer,
    )
    before = 0.0
    print("| output of | error (% of the signal) | added |\n| --- | ---: | ---: |")
    for where, error in errors.items():
        added = "" if where == "logits" else f"{100 * (error - before):+.2f}"
        print(f"| {where} | {100 * error:.2f} | {added} |")
        before = error
    if args.out:
        title = f"{checkpoint.name} in {args.mode}"
        found = {name: round(100 * error, 6) for name, error in errors.items()}
        with _writing(args.out):
            atomic.write_text(args.out, json.dumps({"title": title, "errors": found}) + "\n")
        print(f"written: {args.out}")
    if args.model_explorer:
        for path in sorted(args.model_explorer.iterdir()):
            print(f"written: {path}")
    return 0


def _score(args: argparse.Namespace) -> int:
    from data.metrics import scores
    from data.readers import replab2013
    from data.splits import load_splits
    from models.checkpoints.reference_outputs import ReferenceOutputs

    splits = load_splits(args.dataset)
    dataset, in_train = splits.evaluation, splits.train.counts()
    reference_outputs = ReferenceOutputs.load(args.checkpoint / "reference_outputs.json")
    reference_outputs.require(dataset)
    outputs = {reference_outputs.name: reference_outputs.predictions}
    for index, name in enumerate(dataset.label_names):
        most = " (most of train)" if in_train[name] == max(in_train.values()) else ""
        outputs[f"always {name}{most}"] = (index,) * len(dataset)
    for who, predictions in outputs.items():
        measured = ", ".join(f"{name} {x:.1f}%" for name, x in scores(dataset, predictions).items())
        measured = measured.replace("_", " ")
        print(f"{who}: {measured}")
    runs = ((args.run_file, reference_outputs.predictions), (args.gold, dataset.labels))
    for path, labels in runs:
        if path:
            with _writing(path):
                replab2013.write_run(path, dataset, labels)
            print(f"written: {path}")
    if args.model_card:
        from models.checkpoints import model_card

        with _writing(args.checkpoint / model_card.NAME):
            print(f"written: {model_card.write(args.checkpoint, reference_outputs, dataset)}")
    return 0


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise SaveError if the file cannot be written."""
    try:
        yield
    except OSError as error:
        raise SaveError(
            f"{path}: cannot be written to ({error.strerror}); check rights and free space"
        ) from error
