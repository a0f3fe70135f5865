"""Mode ``mixed``: find how many bits each group of weights gets, by measuring.

A group is the attention or the feed-forward part of one encoder layer, or a dense layer outside
them, or the embedding (`Architecture.layer_group`). All begin with 8 bits. Then, for 4 bits and
for 2: if all groups together can go there within the budget, they do. If not, each group is
measured there by itself, the groups are ranked by loss for each byte saved, and as many of the
cheapest go there as the budget permits.

The result is a recipe, a JSON file in the checkpoint's folder. A model file is built from it in
seconds.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from common import atomic, json_file
from common.cache import Cache
from common.checksum import file_sha256
from common.json_file import JsonError
from data.dataset import Dataset
from models.architectures import architecture_of
from models.checkpoints.checkpoint import Checkpoint
from models.errors import QuantizeError
from models.tflite.flatbuffer import MODEL_FILE, operator_name, unpack
from models.tflite.quantizer import Rule, quantize, rule

RECIPE = "mixed.json"  # its name in a checkpoint's folder
EMBEDDING = "embedding"
WIDTHS = (8, 4, 2)
_DENSE = re.compile(r"(?:^|;)([^;]+)/MatMul")

# Returns the logits, float32 (texts, classes), of a model file for texts.
Predict = Callable[[Path, Sequence[str]], np.ndarray]
Bits = Mapping[str, int]


@dataclass(frozen=True)
class Budget:
    """What quantization may lose, on the calibration texts.

    Attributes:
        agreement: minimum agreement with float32's predictions, in percent.
        drop: maximum loss of accuracy against float32, in points.
    """

    agreement: float = 97.0
    drop: float = 1.0


@dataclass(frozen=True)
class QuantizationCost:
    """What an assignment of bits loses against float32.

    Attributes:
        texts: how many calibration texts it was measured on.
        agreement: with float32's predictions, in percent.
        drop: of accuracy, in points.
        loss: mean Kullback-Leibler divergence of the probabilities from float32's, in nats. It
            ranks layers long before one prediction changes.
        weight_bytes: of all groups.
    """

    texts: int
    agreement: float
    drop: float
    loss: float
    weight_bytes: int

    def within(self, budget: Budget) -> bool:
        """Return whether both bounds are met."""
        return self.agreement >= budget.agreement and self.drop <= budget.drop


@dataclass(frozen=True)
class Recipe:
    """The bits of each group, how they were found, and what they cost.

    Attributes:
        weights_sha256: of the checkpoint that was measured.
        calibration_sha256: of the texts that decided.
        budget: the budget of the search.
        bits: by group.
        cost: of all groups together.
        alone: by width and group, the cost of that group by itself; cheapest first.
    """

    weights_sha256: str
    calibration_sha256: str
    budget: Budget
    bits: dict[str, int]
    cost: QuantizationCost
    alone: dict[str, dict[str, QuantizationCost]]

    def save(self, path: Path) -> None:
        """Write the recipe."""
        atomic.write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def load(checkpoint: Checkpoint) -> Recipe:
    """Return the recipe of a checkpoint.

    Raises:
        QuantizeError: there is none, or it is another checkpoint's.
    """
    path = checkpoint.path / RECIPE
    command = f"python fit.py mixed {checkpoint.source.said}"
    try:
        body = json_file.read_object(path)
        json_file.conform(body, Recipe)
        if odd := sorted({*body["bits"].values()} - {*WIDTHS}):
            raise JsonError(f"$.bits: {odd[0]} bits; there are {', '.join(map(str, WIDTHS))}")
        body |= {
            "budget": Budget(**body["budget"]),
            "cost": QuantizationCost(**body["cost"]),
        }
        body["alone"] = {
            width: {group: QuantizationCost(**cost) for group, cost in costs.items()}
            for width, costs in body["alone"].items()
        }
        recipe = Recipe(**body)
    except FileNotFoundError:
        raise QuantizeError(
            f"{path}: no recipe for mode mixed; this measures one: {command}"
        ) from None
    except JsonError as error:
        raise QuantizeError(
            f"{path}: not a recipe ({error}); this measures one: {command}"
        ) from None
    if recipe.weights_sha256 != checkpoint.weights_sha256:
        raise QuantizeError(f"{path}: of other weights; this measures one of these: {command}")
    return recipe


def recipe_of(checkpoint: Checkpoint, source: Path) -> tuple[Rule, ...]:
    """Return ai-edge-quantizer's rules for a checkpoint and its float32 model file.

    Raises:
        QuantizeError: the checkpoint has no recipe, or it is another's.
    """
    return rules(source, load(checkpoint).bits, architecture_of(checkpoint.config).layer_group)


def rules(source: Path, bits: Bits, layer_group: Callable[[str], str]) -> tuple[Rule, ...]:
    """Return ai-edge-quantizer's rules for ``bits`` of each group of a float32 model file.

    Raises:
        QuantizeError: the file has other groups.
    """
    members, _ = groups(source, layer_group)
    if members.keys() != bits.keys():
        odd = sorted(members.keys() ^ bits.keys())
        raise QuantizeError(f"the recipe and {source} differ in {', '.join(odd[:3])}")
    return (
        _rule(8),  # what belongs to no group is small
        _rule(bits[EMBEDDING], operation="EMBEDDING_LOOKUP"),
        *(
            _rule(
                bits[group],
                operation="FULLY_CONNECTED",
                where="|".join(rf"(^|;){re.escape(name)}/MatMul" for name in names),
            )
            for group, names in members.items()
            if group != EMBEDDING
        ),
    )


def _rule(bits: int, operation: str = "*", where: str = ".*") -> Rule:
    # A scale for each channel that clips rare values: with few bits it keeps more predictions.
    return rule(
        bits, granularity="CHANNELWISE", algorithm="OCTAV", operation=operation, where=where
    )


def groups(
    source: Path, layer_group: Callable[[str], str]
) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Return by group the names of its dense layers, and how many numbers they hold.

    A weight that several layers share counts once.
    """
    model = unpack(source.read_bytes(), source)
    graph = model.subgraphs[0]
    members: dict[str, list[str]] = {EMBEDDING: []}
    numbers: dict[str, int] = {EMBEDDING: 0}
    counted: set[int] = set()
    for operator in graph.operators:
        kind = operator_name(model.operatorCodes[operator.opcodeIndex])
        if kind not in ("FULLY_CONNECTED", "EMBEDDING_LOOKUP"):
            continue
        group = EMBEDDING
        if kind == "FULLY_CONNECTED":
            (name,) = _DENSE.findall(graph.tensors[operator.outputs[0]].name.decode())
            group = layer_group(name)
            members.setdefault(group, []).append(name)
        table = graph.tensors[operator.inputs[1]]
        if table.buffer not in counted:
            counted.add(table.buffer)
            numbers[group] = numbers.get(group, 0) + int(np.prod(table.shape))
    return members, numbers


def measured_signature(checkpoint: Checkpoint) -> str:
    """Return the signature that layers are measured with: the longest but one.

    It holds all but a few texts, and costs half of the longest.
    """
    return f"tokens_{checkpoint.lengths[-2:][0]}"


@dataclass(frozen=True)
class _CostEvaluator:
    """Quantizes, predicts and compares. What was measured once is kept in the cache."""

    source: Path
    cache: Cache
    dataset: Dataset
    predict: Predict
    runtime: str
    float32: np.ndarray
    numbers: Mapping[str, int]
    layer_group: Callable[[str], str]

    def cost(self, bits: Bits) -> QuantizationCost:
        recipe = rules(self.source, bits, self.layer_group)

        def build(folder: Path) -> None:
            path = folder / MODEL_FILE
            path.write_bytes(quantize(self.source, recipe))
            logits = self.predict(path, self.dataset.texts)
            path.unlink()
            size = sum(bits[group] * n // 8 for group, n in self.numbers.items())
            cost = _compare(logits, self.float32, self.dataset.labels, size)
            (folder / "cost.json").write_text(json.dumps(asdict(cost)))

        inputs = {
            "from": hashlib.sha256(self.source.read_bytes()).hexdigest(),
            "recipe": recipe,
            "dataset": self.dataset.checksum(),
            "ai-edge-quantizer": version("ai-edge-quantizer"),
            "runtime": self.runtime,
        }
        artifact = self.cache.get_or_build("cost", inputs, build, code=[__name__], quiet=True)
        return QuantizationCost(**json.loads((artifact.path / "cost.json").read_text()))

    def with_sample(self, count: int) -> _CostEvaluator:
        """Return the same with a sample of the texts."""
        chosen = self.dataset.stratified(min(count, len(self.dataset)))
        return replace(self, dataset=self.dataset.take(chosen), float32=self.float32[chosen])


def _compare(
    logits: np.ndarray, float32: np.ndarray, labels: Sequence[int], weight_bytes: int
) -> QuantizationCost:
    ours, theirs = _log_softmax(logits), _log_softmax(float32)
    right = [np.mean(x.argmax(1) == np.array(labels)) for x in (theirs, ours)]
    return QuantizationCost(
        texts=len(labels),
        agreement=round(100 * float(np.mean(ours.argmax(1) == theirs.argmax(1))), 6),
        drop=round(100 * float(right[0] - right[1]), 6),
        loss=float((np.exp(theirs) * (theirs - ours)).sum(1).mean()),
        weight_bytes=weight_bytes,
    )


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def search(
    checkpoint: Checkpoint,
    float32: Path,
    cache: Cache,
    dataset: Dataset,
    *,
    predict: Predict,
    runtime: str,
    budget: Budget,
    rank_with: int,
) -> Recipe:
    """Return the recipe with the fewest bits within ``budget``.

    Prints each step. If it is killed, the same command continues from what the cache holds.

    Args:
        checkpoint: the candidate.
        float32: its float32 model file.
        cache: where measurements are kept.
        dataset: calibration texts; all of them decide.
        predict: returns the logits of a model file.
        runtime: what predicts, with its version: another one returns other logits.
        budget: what may be lost.
        rank_with: how many texts rank the groups.

    Raises:
        QuantizeError: even 8 bits everywhere are outside the budget.
    """
    from models.tflite import transformations

    key = measured_signature(checkpoint)
    inputs = {"from": hashlib.sha256(float32.read_bytes()).hexdigest(), "signature": key}
    one = cache.get_or_build(
        "one_signature",
        inputs,
        lambda folder: _write(folder, transformations.one_signature(float32.read_bytes(), key)),
        code=["models.tflite.transformations"],
    )
    source = one.path / MODEL_FILE
    print(f"{checkpoint.name}: float32 predicts {len(dataset)} calibration texts", flush=True)
    runtime = f"{runtime}, tokenizer {file_sha256(checkpoint.tokenizer)}"
    expected = cache.get_or_build(
        "float32_logits",
        {"from": one.path.name, "dataset": dataset.checksum(), "runtime": runtime},
        lambda folder: np.save(folder / "logits.npy", predict(source, dataset.texts)),
        code=[__name__],
        quiet=True,
    )
    layer_group = architecture_of(checkpoint.config).layer_group
    _, numbers = groups(source, layer_group)
    logits = np.load(expected.path / "logits.npy")
    evaluator = _CostEvaluator(
        source, cache, dataset, predict, runtime, logits, numbers, layer_group
    )
    ranking_evaluator = evaluator.with_sample(rank_with)
    bits, kept = dict.fromkeys(numbers, WIDTHS[0]), set(numbers)
    cost = evaluator.cost(bits)
    _print_cost(f"all groups, {WIDTHS[0]} bits", cost)
    if not cost.within(budget):
        raise QuantizeError(f"{WIDTHS[0]} bits everywhere are outside {budget}: {cost}")
    alone: dict[str, dict[str, QuantizationCost]] = {}
    for width in WIDTHS[1:]:
        lower = {**bits, **dict.fromkeys(kept, width)}
        together = evaluator.cost(lower)
        _print_cost(f"all groups that can, {width} bits", together)
        if together.within(budget):
            bits, cost = lower, together
            continue
        base = ranking_evaluator.cost(bits)
        ranking: dict[str, tuple[float, QuantizationCost]] = {}
        for n, group in enumerate(sorted(kept), start=1):
            by_itself = ranking_evaluator.cost({**bits, group: width})
            saved = base.weight_bytes - by_itself.weight_bytes
            ranking[group] = ((by_itself.loss - base.loss) / saved, by_itself)
            _print_cost(f"{n}/{len(kept)} {group} alone, {width} bits", by_itself)
        order = sorted(ranking, key=lambda group: ranking[group][0])
        alone[str(width)] = {group: ranking[group][1] for group in order}
        count, bits, best = _most_groups(order, bits, width, evaluator, budget)
        cost, kept = best or cost, set(order[:count])
    return Recipe(
        checkpoint.weights_sha256,
        dataset.checksum(),
        budget,
        dict(sorted(bits.items())),
        cost,
        alone,
    )


def _most_groups(
    order: Sequence[str], bits: Bits, width: int, evaluator: _CostEvaluator, budget: Budget
) -> tuple[int, dict[str, int], QuantizationCost | None]:
    """Return the longest head of ``order`` that can go to ``width`` bits, by bisection."""
    best: tuple[int, dict[str, int], QuantizationCost | None] = (0, dict(bits), None)
    low, high = 0, len(order) - 1  # all of them were tried
    while low < high:
        middle = (low + high + 1) // 2
        lower = {**bits, **dict.fromkeys(order[:middle], width)}
        cost = evaluator.cost(lower)
        _print_cost(f"the {middle} cheapest, {width} bits", cost)
        if cost.within(budget):
            low, best = middle, (middle, lower, cost)
        else:
            high = middle - 1
    return best


def _print_cost(what: str, cost: QuantizationCost) -> None:
    print(
        f"{what}: agreement {cost.agreement:.2f}%, drop {cost.drop:.2f} points, "
        f"loss {cost.loss:.5f}, weights {cost.weight_bytes / 1e6:.2f} MB ({cost.texts} texts)",
        flush=True,
    )


def _write(folder: Path, content: bytes) -> None:
    (folder / MODEL_FILE).write_bytes(content)
