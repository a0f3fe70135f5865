"""A file in `models/architectures` is an architecture, and says all that others ask of it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from models.architectures import architecture_of, architectures, positions, with_defaults

LABELS = {"id2label": {"0": "no", "1": "yes"}}


def config_of(kind: str, **fields: Any) -> dict[str, Any]:
    """A config.json that states nothing but its kind and classes."""
    return with_defaults({"model_type": kind, **LABELS, **fields})


def test_no_architecture_needs_tensorflow() -> None:
    code = "import sys, models.architectures as a; a.architectures(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"tensorflow", "torch", "transformers"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    ("kind", "millions"),
    [
        ("bert", 109.5),
        ("distilbert", 67.0),
        ("electra", 13.5),
        ("roberta", 124.6),
        ("xlm-roberta", 124.6),
        ("mobilebert", 24.6),
    ],
)
def test_defaults_are_the_sizes_that_their_authors_published(kind: str, millions: float) -> None:
    config = config_of(kind)
    count = 0
    for shape in architecture_of(config).parameter_shapes(config).values():
        count += shape[0] * (shape[1] if len(shape) > 1 else 1)
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def test_positions_of_roberta_begin_behind_its_padding() -> None:
    assert positions(config_of("roberta", max_position_embeddings=514)) == 512
    assert positions(config_of("xlm-roberta", max_position_embeddings=514)) == 512
    assert positions(config_of("bert")) == 512


@pytest.mark.parametrize(
    ("kind", "name", "group"),
    [
        ("bert", "bert.encoder.layer.3.attention.self.query", "bert.encoder.layer.3.attention"),
        ("bert", "bert.encoder.layer.3.output.dense", "bert.encoder.layer.3.feed_forward"),
        (
            "distilbert",
            "distilbert.transformer.layer.0.ffn.lin1",
            "distilbert.transformer.layer.0.feed_forward",
        ),
        (
            "mobilebert",
            "mobilebert.encoder.layer.0.bottleneck.input.dense",
            "mobilebert.encoder.layer.0.attention",
        ),
        ("roberta", "classifier.dense", "classifier.dense"),
    ],
)
def test_a_dense_layer_belongs_to_a_group(kind: str, name: str, group: str) -> None:
    assert architectures()[kind].layer_group(name) == group


def test_what_shares_a_weight_is_in_one_group() -> None:
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0"
    uses = [f"{layer}.layer.{i}.attention.query" for i in range(12)]
    assert {architectures()["albert"].layer_group(use) for use in uses} == {f"{layer}.attention"}
