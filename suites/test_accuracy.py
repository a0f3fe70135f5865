"""Claim: quantized and on its runtime, the candidate is nearly as accurate as the best model.

Budget: 4.1 points of drop against the accuracy reference, the figure of arXiv 2310.03971. It is
demanded of accuracy and of balanced accuracy (a model that always says "negative" loses little of
the first). The upper one-sided 95% bound of a paired bootstrap over the evaluation texts decides.

An emulated board classifies too few texts for either. Its claim is that its predictions are those
of this machine, text by text. Their accuracy is judged here, with `-m host`.

A slow target classifies a stratified sample. Its drop is then the candidate's own, from its
recorded PyTorch outputs for all texts, plus what the sample says that the model file adds. Its
accuracy is estimated likewise. The confusion matrix and macro F1 are of the sample.
"""

from __future__ import annotations

import numpy as np
import pytest

from data.metrics import (
    Interval,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    entity_mean,
    macro_f1,
    paired_drop,
    proportion,
    sampled_accuracy,
    sampled_drop,
)
from data.slices import drift, examples, flips, reliability, slices
from devices.measurement.numerics import label_mismatches, mean_logit_error
from fixtures.target import Target
from reports.check import Check
from reports.verdict import Estimate

MAX_DROP_POINTS = 4.1


def _drop(target: Target, balanced: bool) -> Interval:
    """Return the drop against the accuracy reference, in points."""
    reference, recorded = target.reference, target.recorded
    if recorded is None:
        best = np.array(reference.predictions)[target.sample]
        return paired_drop(target.texts.labels, best, target.outputs.predictions, balanced)
    return sampled_drop(
        target.evaluation.labels,
        reference.predictions,
        recorded.predictions,
        target.sample,
        target.outputs.predictions,
        balanced=balanced,
    )


def _accuracy(target: Target, balanced: bool) -> Interval:
    """Return accuracy or balanced accuracy in percent, of all texts though a sample is classified.

    Only accuracy of all texts has bounds other than those of the bootstrap: Wilson's.
    """
    labels, outputs = target.texts.labels, target.outputs.predictions
    recorded = target.recorded
    if recorded is not None and len(target.sample) < len(target.evaluation):
        known = recorded.predictions
        return sampled_accuracy(
            target.evaluation.labels, known, target.sample, outputs, balanced=balanced
        )
    if balanced:
        value = 100 * balanced_accuracy(labels, outputs)
        return Interval(value, value, value)
    return proportion(labels, outputs)


def _check_drop(check: Check, name: str, drop: Interval) -> None:
    statistic = "upper one-sided 95% bound, paired bootstrap"
    estimate = Estimate(drop.value, "points", statistic, drop.lower, drop.upper)
    check.at_most(name, estimate, MAX_DROP_POINTS)


@pytest.mark.only(emulated=False)
def test_accuracy_drop(target: Target, check: Check) -> None:
    """Drop in accuracy against the accuracy reference."""
    outputs, texts = target.outputs, target.texts
    interval = _accuracy(target, balanced=False)
    drop = _drop(target, balanced=False)
    best = accuracy(target.evaluation.labels, target.reference.predictions)
    check.metrics(
        texts=len(texts),
        truncated=outputs.truncated,
        accuracy=interval.value,
        accuracy_lower=interval.lower,
        accuracy_upper=interval.upper,
        drop=drop.value,
        drop_upper=drop.upper,
        reference_accuracy=100 * best,
    )
    known, best_here = target.recorded, np.array(target.reference.predictions)[target.sample]
    bins, error = reliability(texts.labels, outputs.logits)
    parts = slices(texts, outputs.predictions, best_here, outputs.tokens, target.unknown_pieces)
    check.metrics(reliability=bins, calibration_error=error, slices=parts, drift=drift(parts))
    if known is not None:
        logits = np.array(known.logits, np.float32)[target.sample]
        bins, error = reliability(texts.labels, logits)
        check.metrics(
            float32_reliability=bins,
            float32_calibration_error=error,
            flips=flips(logits, outputs.logits),
        )
    if target.show_texts:
        _show_texts(target, check)
    if texts.entities:
        mean = entity_mean(texts.labels, outputs.predictions, texts.entities)
        check.metrics(entity_mean_accuracy=100 * mean)
    _check_drop(check, "accuracy drop", drop)


def _show_texts(target: Target, check: Check) -> None:
    """State texts of the dataset, if it allows that."""
    if not target.texts.shareable:
        target.run.note(f"{target.texts.name}: its texts may not be shown: --show-texts shows none")
        return
    known = target.recorded
    logits = None if known is None else np.array(known.logits, np.float32)[target.sample]
    check.metrics(examples=examples(target.texts, logits, target.outputs.logits))


@pytest.mark.only(emulated=False)
def test_balanced_accuracy_drop(target: Target, check: Check) -> None:
    """Drop in the mean recall of the classes against the accuracy reference."""
    drop = _drop(target, balanced=True)
    labels, predictions = target.texts.labels, target.outputs.predictions
    classes = len(target.texts.label_names)
    if target.recorded is not None:
        known = np.array(target.recorded.predictions)[target.sample]
        check.metrics(float32_confusion_matrix=confusion_matrix(labels, known, classes))
    check.metrics(
        classes=list(target.texts.label_names),
        balanced_accuracy=_accuracy(target, balanced=True).value,
        macro_f1=100 * macro_f1(labels, predictions, classes),
        confusion_matrix=confusion_matrix(labels, predictions, classes),
        balanced_drop=drop.value,
        balanced_drop_upper=drop.upper,
    )
    _check_drop(check, "balanced accuracy drop", drop)


@pytest.mark.only(emulated=False)
def test_agreement_with_float32(target: Target, check: Check) -> None:
    """The share of texts with the label of the candidate's recorded float32 PyTorch model."""
    expected = np.array(target.reference_outputs.predictions)
    agreement = proportion(expected[target.sample], target.outputs.predictions)
    check.metrics(agreement=agreement.value)
    statistic = f"top-1 on {len(target.sample)} of {len(expected)} texts"
    estimate = Estimate(agreement.value, "%", statistic)
    check.at_least("agreement with float32", estimate, target.promises.agreement)


@pytest.mark.only(emulated=True)
def test_predictions_match_this_machine(target: Target, check: Check) -> None:
    """Every text's label is the one that this runtime gives to the same file on this machine.

    Where two labels are nearer than the mode's own logit error, either is right.
    """
    there, here, spread = target.outputs.logits, target.outputs_here(target.sample), target.spread
    tie = target.promises.mean_logit_error * spread
    different = int(label_mismatches(there, here, tie).sum())
    mean, most = mean_logit_error(there, here, spread)
    check.metrics(texts=len(here), mean_error_from_host=mean, max_error_from_host=most)
    check.holds(
        "same labels as on this machine",
        different == 0,
        f"{different} of {len(here)} texts got another label; normalized logit error {mean:.4f} "
        f"(maximum {most:.4f})",
    )
