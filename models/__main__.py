"""Train, record and keep models: ``python -m models --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from models.errors import CardError, CheckpointError
from models.store import Store
from tweets.corpus import TweetsError


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 2 when the input is at fault."""
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    finetune = commands.add_parser("finetune", help="train an encoder on labelled tweets")
    finetune.add_argument("checkpoint", help="a folder in Hugging Face layout, or a hub id")
    distil = commands.add_parser("distil", help="train a MobileBERT from a fine-tuned teacher")
    distil.add_argument("teacher", help="a fine-tuned checkpoint: folder or hub id")
    distil.add_argument("--hidden-weight", type=float, default=1.0)
    record = commands.add_parser("record", help="write a checkpoint's card anew")
    record.add_argument("checkpoint", type=Path)
    prune = commands.add_parser("prune", help="delete what the store keeps and nobody needs")
    prune.add_argument("--store", type=Path, default=Path(".store"))
    prune.add_argument("--older-than-days", type=float, default=30.0)
    for command, epochs, rate in ((finetune, 2.0, 8e-5), (distil, 3.0, 4e-4)):
        command.add_argument("--out", type=Path, required=True, help="the folder to write")
        command.add_argument("--epochs", type=float, default=epochs)
        command.add_argument("--learning-rate", type=float, default=rate)
        command.add_argument("--seed", type=int, default=0)
    for command in (finetune, distil, record):
        command.add_argument("--tweets", default="brands", help="brands, a file, folder or id")
    args = parser.parse_args(argv)
    if args.command == "prune":
        for path in Store(args.store).prune(args.older_than_days):
            print(f"deleted {path}")
        return 0
    try:
        return _train(args)
    except (CardError, CheckpointError, TweetsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _train(args: argparse.Namespace) -> int:
    # PyTorch lives only in the training environment; other commands do without it.
    from models import training
    from tweets.readers import read
    from tweets.splits import split

    splits = split(read(args.tweets))
    if args.command == "record":
        training.record_card(args.checkpoint, splits)
        return 0
    hp = training.Hyperparameters(
        epochs=args.epochs, learning_rate=args.learning_rate, seed=args.seed,
        hidden_weight=getattr(args, "hidden_weight", 0.0),
    )  # fmt: skip
    if args.command == "finetune":
        training.finetune(args.checkpoint, splits, args.out, hp)
    else:
        training.distil(args.teacher, splits, args.out, hp)
    print(f"checkpoint and card: {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
