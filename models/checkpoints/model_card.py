"""The model card that Hugging Face's hub shows: ``README.md``, made of reference outputs.

It says nothing that `models.checkpoints.reference_outputs.ReferenceOutputs` does not hold or the
texts do not give.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from data.dataset import Dataset
from data.metrics import Interval, score_bounds, scores
from models.checkpoints.reference_outputs import ReferenceOutputs

NAME = "README.md"


def write(folder: Path, reference_outputs: ReferenceOutputs, dataset: Dataset) -> Path:
    """Write ``folder``/README.md: the data with its checksums, the training and its versions, the
    measures with their bounds. Returns its path.

    Raises:
        ReferenceOutputsError: the reference outputs are of other texts.
        OSError: it cannot be written.
    """
    reference_outputs.require(dataset)
    measured = _measured(reference_outputs, dataset)
    about = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        datasets=[dataset.name],
        model_name=reference_outputs.name,
        eval_results=[
            EvalResult(
                task_type="text-classification",
                dataset_type=dataset.name,
                dataset_name=f"{dataset.name}, evaluation split",
                metric_type=name,
                metric_value=round(value, 2),
            )
            for name, (value, _) in measured.items()
        ],
    )
    path = folder / NAME
    ModelCard(f"---\n{about.to_yaml()}\n---\n\n{_text(reference_outputs, dataset, measured)}").save(
        path
    )
    return path


def _measured(
    reference_outputs: ReferenceOutputs, dataset: Dataset
) -> dict[str, tuple[float, Interval | None]]:
    """Every measure in percent, with its one-sided 95% bounds where there are any."""
    bounds = score_bounds(dataset, reference_outputs.predictions)
    return {
        name: (value, bounds.get(name))
        for name, value in scores(dataset, reference_outputs.predictions).items()
    }


def _text(
    reference_outputs: ReferenceOutputs,
    dataset: Dataset,
    measured: dict[str, tuple[float, Interval | None]],
) -> str:
    made = dict(reference_outputs.provenance)
    command, splits, versions = (made.pop(key, None) for key in ("command", "splits", "versions"))
    settings = made.pop("hyperparameters", {})
    names = ", ".join(reference_outputs.label_names)
    rows = "\n".join(
        f"| {name.replace('_', ' ')} | {value:.2f} |"
        + (f" {bounds.lower:.2f} to {bounds.upper:.2f} |" if bounds else " \u2013 |")
        for name, (value, bounds) in measured.items()
    )
    return f"""# {reference_outputs.name}

A classifier of texts: {names}. {reference_outputs.parameters / 1e6:.1f}M parameters. Recorded in
PyTorch:
`reference_outputs.json` holds the logits of every evaluation text.

## What it answers

On the {len(dataset)} evaluation texts of {dataset.name}, in percent, with one-sided 95% bounds
(Wilson's of accuracy, of the others a bootstrap's within classes):

| measure | value | bounds |
|---|---:|---:|
{rows}

The figures are of these texts alone: of other languages, kinds of text and times they say nothing.
Whether a FlatBuffer made of it may ship to a device is judged, not stated here.

## How it was trained

{_fence(command)}
{_list(made)}
{_table("setting", settings)}
{_table("versions of", versions)}
## Data

Splits of {dataset.name}; near-duplicates of another split's texts are dropped.

{_table("split", splits)}
## Files

| file | SHA-256 |
|---|---|
| `model.safetensors` | `{reference_outputs.weights_sha256}` |
| `tokenizer.json` | `{reference_outputs.tokenizer_sha256}` |
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
