"""Mode mixed: the search finds the fewest bits within a budget, and they are what is built."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from common.cache import Cache
from data.dataset import Dataset
from models import modes
from models.architectures import architecture_of, mobilebert
from models.checkpoints.checkpoint import Checkpoint, open_checkpoint
from models.contents import inspect
from models.errors import QuantizeError
from models.tflite import convert, mixed_precision
from models.tflite.flatbuffer import MODEL_FILE
from models.tflite.mixed_precision import Budget, Recipe
from models.tflite.quantizer import quantize
from models.tflite.transformations import one_signature
from suites.selftest import synthetic

# By group and bits, how many of 200 predictions change; by itself.
COSTS = {
    "embedding": {8: 0, 4: 0, 2: 40},
    "first": {8: 0, 4: 1, 2: 1},
    "second": {8: 0, 4: 0, 2: 3},
    "third": {8: 0, 4: 0, 2: 4},
    "classifier": {8: 0, 4: 0, 2: 12},
}
NUMBERS = {"embedding": 4000, "first": 1000, "second": 1000, "third": 1000, "classifier": 8}
LABELS = np.arange(200) % 3
SAMPLES = Dataset(
    "made up", tuple(f"text {i}" for i in range(200)), tuple(LABELS.tolist()), ("a", "b", "c")
)
RIGHT = (4 * np.eye(3, dtype=np.float32))[LABELS]


class FakeRuntime:
    """A runtime whose predictions depend on the bits, as `COSTS` says."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, path: Path, texts: Sequence[str]) -> np.ndarray:
        self.times += 1
        index = [SAMPLES.texts.index(text) for text in texts]
        logits, content = RIGHT.copy(), path.read_bytes()
        if content != b"float32":
            start = 0
            for group, bits in json.loads(content).items():
                wrong = COSTS[group][bits]
                logits[start : start + wrong] = np.roll(logits[start : start + wrong], 1, axis=1)
                start += 40
                logits *= 1 - 0.001 * (8 - bits)  # a loss where no prediction changes
        return logits[index]


@pytest.fixture
def few_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    members: dict[str, list[str]] = {group: [] for group in NUMBERS}
    monkeypatch.setattr(mixed_precision, "groups", lambda *_: (members, NUMBERS))
    monkeypatch.setattr(mixed_precision, "rules", lambda source, bits, group: (dict(bits),))
    monkeypatch.setattr(
        mixed_precision, "quantize", lambda source, recipe: json.dumps(recipe[0]).encode()
    )
    monkeypatch.setattr(
        "models.tflite.transformations.one_signature", lambda content, key: b"float32"
    )


def _search(folder: Path, runtime: FakeRuntime, budget: Budget) -> Recipe:
    (folder / "float32").mkdir(exist_ok=True)
    float32 = folder / "float32" / MODEL_FILE
    float32.write_bytes(b"float32")
    tokenizer = folder / "tokenizer.json"
    tokenizer.touch()
    checkpoint: Any = SimpleNamespace(
        name="made up",
        weights_sha256="0" * 64,
        tokenizer=tokenizer,
        lengths=(24, 40, 64, 128),
        config={"model_type": "bert"},
    )
    return mixed_precision.search(
        checkpoint,
        float32,
        Cache(folder),
        SAMPLES,
        predict=runtime,
        runtime="made up",
        budget=budget,
        rank_with=200,
    )


@pytest.mark.usefixtures("few_groups")
def test_the_fewest_bits_within_the_budget(tmp_path: Path) -> None:
    """At 97% of 200 texts, six may change: those of the first and the third, or the second."""
    recipe = _search(tmp_path, FakeRuntime(), Budget(agreement=97.0, drop=3.0))
    assert recipe.bits == {"classifier": 4, "embedding": 4, "first": 2, "second": 2, "third": 4}
    assert recipe.cost.agreement == 98.0
    assert recipe.cost.weight_bytes == (4000 * 4 + 1000 * (2 + 2 + 4) + 8 * 4) // 8
    assert list(recipe.alone) == ["2"]
    assert list(recipe.alone["2"]) == ["first", "second", "third", "embedding", "classifier"]
    all_groups = _search(tmp_path, FakeRuntime(), Budget(agreement=0.0, drop=100.0))
    assert set(all_groups.bits.values()) == {2}


@pytest.mark.usefixtures("few_groups")
def test_the_drop_is_held_as_the_agreement_is(tmp_path: Path) -> None:
    recipe = _search(tmp_path, FakeRuntime(), Budget(agreement=90.0, drop=0.5))
    assert [group for group, bits in recipe.bits.items() if bits == 2] == ["first"]
    with pytest.raises(QuantizeError, match="8 bits everywhere are outside"):
        _search(tmp_path, FakeRuntime(), Budget(agreement=100.1))


@pytest.mark.usefixtures("few_groups")
def test_a_search_continues_from_what_was_measured(tmp_path: Path) -> None:
    first, second = FakeRuntime(), FakeRuntime()
    budget = Budget(agreement=97.0, drop=3.0)
    assert _search(tmp_path, first, budget) == _search(tmp_path, second, budget)
    assert first.times > 8
    assert second.times == 0


def test_a_recipe_is_read_as_written_and_is_of_one_checkpoint(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    cost = mixed_precision.QuantizationCost(10, 99.0, 0.5, 0.01, 100)
    bits = {"embedding": 4}
    recipe = Recipe(checkpoint.weights_sha256, "1", Budget(), bits, cost, {"2": {"a": cost}})
    recipe.save(tmp_path / mixed_precision.RECIPE)
    here = replace(checkpoint, source=replace(checkpoint.source, path=tmp_path))
    assert mixed_precision.load(here) == recipe
    with pytest.raises(QuantizeError, match=r"of other weights; .*: python fit\.py mixed"):
        mixed_precision.load(replace(here, weights_sha256="0"))
    (tmp_path / mixed_precision.RECIPE).write_text("{}")
    with pytest.raises(QuantizeError, match="not a recipe"):
        mixed_precision.load(here)
    (tmp_path / mixed_precision.RECIPE).unlink()
    with pytest.raises(QuantizeError, match=r"no recipe for mode mixed; .*: python fit\.py mixed"):
        modes.build("mixed", here, Cache(tmp_path))


def test_each_group_gets_its_own_bits(path32: Path, tmp_path: Path) -> None:
    """Every dense layer and the embedding are in one group, and the file has the bits given."""
    source = tmp_path / MODEL_FILE
    source.write_bytes(one_signature(path32.read_bytes(), "tokens_24"))
    members, numbers = mixed_precision.groups(source, mobilebert.layer_group)
    assert len(members) == 24 * 2 + 3
    dense = [name for names in members.values() for name in names]
    assert len(dense) == len(set(dense)) == 24 * 15 + 2
    bits = {**dict.fromkeys(members, 4), "mobilebert.encoder.layer.1.attention": 2, "embedding": 8}
    made = tmp_path / "made.tflite"
    rules = mixed_precision.rules(source, bits, mobilebert.layer_group)
    made.write_bytes(quantize(source, rules))
    few = members["mobilebert.encoder.layer.1.attention"]
    found = inspect(made)
    assert found.large_weights == {"int8": 2, "int2": len(few), "int4": len(dense) - len(few) - 1}
    assert found.weight_bytes["int2"] == numbers["mobilebert.encoder.layer.1.attention"] // 4
    with pytest.raises(QuantizeError, match="differ in classifier"):
        del bits["classifier"]
        mixed_precision.rules(source, bits, mobilebert.layer_group)


@pytest.mark.parametrize(
    ("kind", "fields"), [("xlm-roberta", {"hidden_size": 64}), ("albert", {"embedding_size": 64})]
)
def test_tables_of_every_kind_get_few_bits(
    kind: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    """Of words and of positions. A layer that is used twice counts once."""
    pytest.importorskip("torch", reason="the checkpoint is made with PyTorch")
    folder, oracle = synthetic.write_checkpoint(tmp_path / kind, kind, **fields)
    checkpoint, cache = open_checkpoint(str(folder), lengths=(8,)), Cache(tmp_path)
    words = oracle.get_input_embeddings().weight
    int4 = inspect(modes.build("int4", checkpoint, cache))
    assert set(int4.large_weights) == {"int4"}
    float32 = convert.float32(checkpoint, cache).path / MODEL_FILE
    layer_group = architecture_of(checkpoint.config).layer_group
    members, numbers = mixed_precision.groups(float32, layer_group)
    positions = (8 + (2 if kind == "xlm-roberta" else 0)) * words.shape[1]
    assert numbers["embedding"] == words.numel() + positions
    dense = [
        p for name, p in oracle.named_parameters() if p.ndim == 2 and "embeddings." not in name
    ]
    assert sum(numbers.values()) - numbers["embedding"] == sum(p.numel() for p in dense)
    made = tmp_path / "made.tflite"
    bits = {**dict.fromkeys(members, 8), "embedding": 2}
    made.write_bytes(quantize(float32, mixed_precision.rules(float32, bits, layer_group)))
    assert inspect(made).weight_bytes["int2"] == numbers["embedding"] // 4
