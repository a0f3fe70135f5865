"""The model card that Hugging Face's hub shows: ``README.md``, made of a card of recorded answers.

It says nothing that `models.card.Card` does not hold or the tweets do not give.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from models.card import Card
from tweets.corpus import Corpus
from tweets.measures import Interval, score_bounds, scores

NAME = "README.md"


def write(folder: Path, card: Card, tweets: Corpus) -> Path:
    """Write ``folder``/README.md: the data with its checksums, the training and its versions, the
    measures with their bounds. Returns its path.

    Raises:
        CardError: the card is about other tweets.
        OSError: it cannot be written.
    """
    card.require(tweets)
    measured = _measured(card, tweets)
    about = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        datasets=[tweets.name],
        model_name=card.name,
        eval_results=[
            EvalResult(
                task_type="text-classification",
                dataset_type=tweets.name,
                dataset_name=f"{tweets.name}, evaluation split",
                metric_type=name,
                metric_value=round(value, 2),
            )
            for name, (value, _) in measured.items()
        ],
    )
    path = folder / NAME
    ModelCard(f"---\n{about.to_yaml()}\n---\n\n{_text(card, tweets, measured)}").save(path)
    return path


def _measured(card: Card, tweets: Corpus) -> dict[str, tuple[float, Interval | None]]:
    """Every measure in percent, with its one-sided 95% bounds where there are any."""
    bounds = score_bounds(tweets, card.predictions)
    return {
        name: (value, bounds.get(name)) for name, value in scores(tweets, card.predictions).items()
    }


def _text(card: Card, tweets: Corpus, measured: dict[str, tuple[float, Interval | None]]) -> str:
    made = dict(card.provenance)
    command, splits, versions = (made.pop(key, None) for key in ("command", "splits", "versions"))
    settings = made.pop("hyperparameters", {})
    names = ", ".join(card.label_names)
    rows = "\n".join(
        f"| {name.replace('_', ' ')} | {value:.2f} |"
        + (f" {bounds.low:.2f} to {bounds.high:.2f} |" if bounds else " \u2013 |")
        for name, (value, bounds) in measured.items()
    )
    return f"""# {card.name}

A classifier of tweets: {names}. {card.parameters / 1e6:.1f}M parameters, recorded in PyTorch;
`card.json` holds the logits of every evaluation tweet.

## What it answers

On the {len(tweets)} evaluation tweets of {tweets.name}, in percent, with one-sided 95% bounds
(Wilson's of accuracy, of the others a bootstrap's within classes):

| measure | value | bounds |
|---|---:|---:|
{rows}

The figures are of these tweets alone: of other languages, kinds of text and times they say nothing.
Whether a FlatBuffer made of it may ship to a device is judged, not stated here.

## How it was trained

{_fence(command)}
{_list(made)}
{_table("setting", settings)}
{_table("versions of", versions)}
## Data

Splits of {tweets.name}; near-duplicates of another split's tweets are dropped.

{_table("split", splits)}
## Files

| file | SHA-256 |
|---|---|
| `model.safetensors` | `{card.weights_sha256}` |
| `tokenizer.json` | `{card.tokenizer_sha256}` |
"""


def _fence(command: str | None) -> str:
    return f"```sh\n{command}\n```\n" if command else "Not recorded.\n"


def _list(made: dict[str, Any]) -> str:
    return "".join(f"- {name}: {value}\n" for name, value in made.items())


def _table(head: str, rows: dict[str, Any] | None) -> str:
    if not rows:
        return ""
    lines = "".join(f"| {name.replace('_', ' ')} | {value} |\n" for name, value in rows.items())
    return f"| {head} | |\n|---|---|\n{lines}"
