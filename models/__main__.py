"""Train, record and keep models: ``python -m models --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models import bundle
from models.arguments import number
from models.card import Card
from models.checkpoint import open_checkpoint
from models.errors import (
    BundleError,
    CardError,
    CheckpointError,
    ConvertError,
    QuantizeError,
    SaveError,
)
from models.modes import DEFAULT, MODES, flatbuffer
from models.store import Store
from models.vocabulary import FIRST_WORD
from tweets import replab
from tweets.corpus import TweetsError
from tweets.measures import scores
from tweets.readers import read
from tweets.splits import split
from tweets.unlabelled import read_unlabelled

ZOO = Path(__file__).parent / "zoo"
_FAULTS = (
    BundleError,
    CardError,
    CheckpointError,
    ConvertError,
    QuantizeError,
    SaveError,
    TweetsError,
)


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 2 when the input or the disk is at fault."""
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    where = "a folder, or a hub id (org/name, org/name@REVISION)"
    finetune = commands.add_parser("finetune", help="train an encoder on labelled tweets")
    finetune.add_argument("checkpoint", help=f"a checkpoint: {where}")
    distil = commands.add_parser("distil", help="train a MobileBERT from fine-tuned teachers")
    distil.add_argument(
        "teachers", nargs="+", metavar="teacher", help=f"a fine-tuned checkpoint: {where}"
    )
    distil.add_argument("--student", help="a student to go on from, instead of a fresh MobileBERT")
    distil.add_argument("--hidden-weight", type=number(float, 0), default=1.0)
    distil.add_argument("--varied-share", type=number(float, 0, 1), default=0.0)
    distil.add_argument("--layers", type=number(int, 1), default=24)
    distil.add_argument(
        "--vocabulary", type=number(int, FIRST_WORD + 1), metavar="N",
        help="of the student: that many word pieces",
    )  # fmt: skip
    distil.add_argument(
        "--unlabelled", type=Path, nargs="+", default=[], metavar="FILE",
        help="further texts to learn the teacher's answers of: one a line (.txt), or a column text",
    )  # fmt: skip
    record = commands.add_parser("record", help="write a checkpoint's card anew")
    record.add_argument("checkpoint", help=f"a fine-tuned checkpoint: {where}")
    record.add_argument("--out", type=Path, help="a folder for a copy of it with its card")
    score = commands.add_parser("score", help="a card's measures, beside those of constant answers")
    score.add_argument("card", type=Path, help="the folder of the card")
    score.add_argument("--run", type=Path, help="write its answers in RepLab 2013's run format")
    score.add_argument(
        "--model-card", action="store_true", help="write it as README.md into that folder, anew"
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
        "--count", type=number(int, 1), default=16, help="calibration tweets to answer"
    )
    prune = commands.add_parser("prune", help="delete what the store keeps and nobody needs")
    for command in (pack, layers, prune):
        command.add_argument("--store", type=Path, default=Path(".store"))
    prune.add_argument("--older-than-days", type=float, default=30.0)
    for command, epochs, rate in ((finetune, 2.0, 8e-5), (distil, 3.0, 4e-4)):
        command.add_argument("--out", type=Path, required=True, help="the folder to write")
        command.add_argument("--epochs", type=number(float, 0.001), default=epochs)
        command.add_argument("--learning-rate", type=number(float, 0), default=rate)
        command.add_argument("--batch-size", type=number(int, 1), default=32)
        command.add_argument("--seed", type=number(int, 0), default=0)
    for command in (finetune, distil, record, score, pack, layers):
        command.add_argument(
            "--tweets", default="brands", help="brands, replab2013, a file, folder or id"
        )
        command.add_argument("--replab-root", type=Path, help="the folder of RepLab 2013")
        command.add_argument("--replab-text", type=Path, help="the text of its tweets, fetched")
    args = parser.parse_args(argv)
    if args.command == "prune":
        for path in Store(args.store).prune(args.older_than_days):
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
    from models import training

    splits = split(read(args.tweets, args.replab_root, args.replab_text))
    if args.command == "record":
        training.record_checkpoint(args.checkpoint, splits, args.out)
        print(f"card: {(args.out or Path(args.checkpoint)) / 'card.json'}")
        return 0
    hp = training.Hyperparameters(
        epochs=args.epochs, learning_rate=args.learning_rate, seed=args.seed,
        batch_size=args.batch_size,
        hidden_weight=getattr(args, "hidden_weight", 0.0),
        varied_share=getattr(args, "varied_share", 0.0), layers=getattr(args, "layers", 24),
        vocabulary=getattr(args, "vocabulary", None),
    )  # fmt: skip
    if args.command == "finetune":
        training.finetune(args.checkpoint, splits, args.out, hp)
    else:
        more = read_unlabelled(args.unlabelled, splits) if args.unlabelled else None
        training.distil(args.teachers, splits, args.out, hp, student=args.student, unlabelled=more)
    print(f"checkpoint and card: {args.out}")
    return 0


def _bundle(args: argparse.Namespace) -> int:
    splits = split(read(args.tweets, args.replab_root, args.replab_text))
    candidate = open_checkpoint(args.checkpoint)
    flatbuffers = {
        mode: flatbuffer(mode, candidate, Store(args.store), splits.calibration)
        for mode in args.mode or DEFAULT
    }
    bundle.write(args.out, candidate, args.reference, splits, flatbuffers)
    print(f"bundle of {', '.join(flatbuffers)}: {args.out}, {args.out.stat().st_size / 1e6:.1f} MB")
    return 0


def _layers(args: argparse.Namespace) -> int:
    from models import layer_error  # needs what a board does without

    splits = split(read(args.tweets, args.replab_root, args.replab_text))
    checkpoint, store = open_checkpoint(args.checkpoint), Store(args.store)
    errors = layer_error.of_mode(checkpoint, args.mode, store, splits.calibration, args.count)
    before = 0.0
    print("| what is handed on | error (% of the signal) | added |\n| --- | ---: | ---: |")
    for where, error in errors.items():
        added = "" if where == "logits" else f"{100 * (error - before):+.2f}"
        print(f"| {where} | {100 * error:.2f} | {added} |")
        before = error
    return 0


def _score(args: argparse.Namespace) -> int:
    splits = split(read(args.tweets, args.replab_root, args.replab_text))
    tweets, in_train = splits.evaluation, splits.train.counts()
    card = Card.load(args.card / "card.json")
    card.require(tweets)
    answers = {card.name: card.predictions}
    for index, name in enumerate(tweets.label_names):
        most = " (most of train)" if in_train[name] == max(in_train.values()) else ""
        answers[f"always {name}{most}"] = (index,) * len(tweets)
    for who, given in answers.items():
        measured = ", ".join(f"{name} {x:.1f}%" for name, x in scores(tweets, given).items())
        measured = measured.replace("_", " ")
        print(f"{who}: {measured}")
    for path, labels in ((args.run, card.predictions), (args.gold, tweets.labels)):
        if path:
            with _writing(path):
                replab.write_run(path, tweets, labels)
            print(f"written: {path}")
    if args.model_card:
        from models import model_card  # needs what a board does without

        with _writing(args.card / model_card.NAME):
            print(f"written: {model_card.write(args.card, card, tweets)}")
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
