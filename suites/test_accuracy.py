"""Claim: quantized and on its runtime, the candidate answers nearly as well as the best model.

Budget: 4.1 points of drop against the accuracy reference, the figure of arXiv 2310.03971. It is
demanded of accuracy and of balanced accuracy (a model that always says "negative" loses little of
the first), and of the upper one-sided 95% bound of a paired bootstrap over the evaluation texts.

An emulated board answers too few texts for either. Its claim is that it gives this machine's
answers, text by text: what accuracy they have is judged here, with `-m host`.

A slow target answers a stratified sample. Its drop is then the candidate's own, from its recorded
PyTorch answers to all texts, plus what the sample says the FlatBuffer adds to it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from data.dataset import Dataset
from data.metrics import (
    Interval,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    entity_mean,
    macro_f1,
    paired_drop,
    proportion,
    sampled_drop,
)
from devices.client import Outputs
from devices.measurement.numerics import label_mismatches, mean_logit_error
from fixtures.matrix import Target
from models.checkpoints.reference_outputs import ReferenceOutputs
from reports.check import Check
from reports.verdict import Estimate

MAX_DROP_POINTS = 4.1

OutputsOf = Callable[[Target], Outputs]
SampleOf = Callable[[Target], tuple[list[int], Dataset]]


def _drop(
    target: Target,
    recorded: ReferenceOutputs | None,
    reference: ReferenceOutputs,
    evaluation: Dataset,
    outputs_of: OutputsOf,
    sample_of: SampleOf,
    balanced: bool,
) -> Interval:
    if recorded is None:
        indices, dataset = sample_of(target)
        best = np.array(reference.predictions)[indices]
        return paired_drop(dataset.labels, best, outputs_of(target).predictions, balanced)
    return sampled_drop(
        evaluation.labels,
        reference.predictions,
        recorded.predictions,
        sample_of(target)[0],
        outputs_of(target).predictions,
        balanced=balanced,
    )


def _check_drop(check: Check, name: str, drop: Interval) -> None:
    statistic = "upper one-sided 95% bound, paired bootstrap"
    check.at_most(
        name, Estimate(drop.value, "points", statistic, drop.lower, drop.upper), MAX_DROP_POINTS
    )


@pytest.mark.only(emulated=False)
def test_accuracy_drop(
    target: Target,
    recorded: ReferenceOutputs | None,
    reference: ReferenceOutputs,
    evaluation: Dataset,
    outputs_of: OutputsOf,
    sample_of: SampleOf,
    check: Check,
) -> None:
    """Drop in accuracy against the accuracy reference."""
    outputs, dataset = outputs_of(target), sample_of(target)[1]
    interval = proportion(dataset.labels, outputs.predictions)
    drop = _drop(target, recorded, reference, evaluation, outputs_of, sample_of, balanced=False)
    check.metrics(
        texts=len(dataset),
        truncated=outputs.truncated,
        accuracy=interval.value,
        accuracy_lower=interval.lower,
        accuracy_upper=interval.upper,
        drop=drop.value,
        drop_upper=drop.upper,
        reference_accuracy=100 * accuracy(evaluation.labels, reference.predictions),
    )
    if dataset.entities:
        mean = entity_mean(dataset.labels, outputs.predictions, dataset.entities)
        check.metrics(entity_mean_accuracy=100 * mean)
    _check_drop(check, "accuracy drop", drop)


@pytest.mark.only(emulated=False)
def test_balanced_accuracy_drop(
    target: Target,
    recorded: ReferenceOutputs | None,
    reference: ReferenceOutputs,
    evaluation: Dataset,
    outputs_of: OutputsOf,
    sample_of: SampleOf,
    check: Check,
) -> None:
    """Drop in the mean recall of the classes against the accuracy reference."""
    drop = _drop(target, recorded, reference, evaluation, outputs_of, sample_of, balanced=True)
    labels, predictions = sample_of(target)[1].labels, outputs_of(target).predictions
    classes = len(evaluation.label_names)
    check.metrics(
        balanced_accuracy=100 * balanced_accuracy(labels, predictions),
        macro_f1=100 * macro_f1(labels, predictions, classes),
        confusion_matrix=confusion_matrix(labels, predictions, classes),
        balanced_drop=drop.value,
        balanced_drop_upper=drop.upper,
    )
    _check_drop(check, "balanced accuracy drop", drop)


@pytest.mark.only(emulated=False)
def test_agreement_with_float32(
    target: Target,
    reference_outputs: ReferenceOutputs,
    outputs_of: OutputsOf,
    sample_of: SampleOf,
    check: Check,
) -> None:
    """The share of texts answered as the candidate's recorded float32 PyTorch model answers."""
    indices, _ = sample_of(target)
    expected = np.array(reference_outputs.predictions)[indices]
    agreement = proportion(expected, outputs_of(target).predictions)
    check.metrics(agreement=agreement.value)
    estimate = Estimate(
        agreement.value, "%", f"top-1 on {len(indices)} of {len(reference_outputs.logits)} texts"
    )
    check.at_least("agreement with float32", estimate, target.promise.agreement)


@pytest.mark.only(emulated=True)
def test_answers_as_this_machine_does(
    target: Target,
    outputs_of: OutputsOf,
    outputs_here: Callable[[Target, list[int]], np.ndarray],
    spread_of: Callable[[Target], float],
    sample_of: SampleOf,
    check: Check,
) -> None:
    """Every text's label is the one that this runtime gives to the same file on this machine.

    Where two labels are nearer than the mode's own logit distance, either is.
    """
    outputs, spread = outputs_of(target).logits, spread_of(target)
    here = outputs_here(target, sample_of(target)[0])
    tie = target.promise.mean_logit_error * spread
    different = int(label_mismatches(outputs, here, tie).sum())
    mean, worst = mean_logit_error(outputs, here, spread)
    check.metrics(texts=len(here), mean_error_from_host=mean, max_error_from_host=worst)
    check.holds(
        "same labels as on this machine",
        different == 0,
        f"{different} of {len(here)} texts got another label; the logits are {mean:.4f} of "
        f"their spread away (worst {worst:.4f})",
    )
