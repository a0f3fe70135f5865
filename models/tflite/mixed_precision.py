"""Mode ``mixed``: how many bits each group of weights gets, found by measuring.

A group is what attends, or what feeds forward, of one encoder layer; or a dense layer outside them;
or the embedding. All begin with 8 bits. Then, for 4 and for 2: if all groups together can go there
within the budget, they do. If not, each is measured there alone, they are ranked by what it costs
for each byte it saves, and as many of the cheapest go there as the budget permits.

What is found is a recipe, a JSON file next to the checkpoint: a FlatBuffer is made of it in
seconds."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from inspect import getsource
from pathlib import Path
from typing import Any

import numpy as np

from common.cache import Cache
from data.dataset import Dataset
from models.checkpoints.checkpoint import Checkpoint
from models.checkpoints.reference_outputs import file_sha256
from models.errors import QuantizeError
from models.tflite import quantizer
from models.tflite.contents import MODEL_FILE, operator_name, unpack
from models.tflite.quantizer import Rule, quantize, rule

RECIPE = "mixed.json"  # its name in a checkpoint's folder, and next to a FlatBuffer
EMBEDDING = "embedding"
WIDTHS = (8, 4, 2)
_MEASURED_LENGTH = "tokens_64"  # nearly all texts fit; the others are cut off, alike for all
_DENSE = re.compile(r"(?:^|;)([^;]+)/MatMul")
_LAYER = re.compile(r"(?P<layer>.*\.layer\.\d+)\.(?P<attention>attention|bottleneck)?")

# Logits float32 (texts, classes) of a FlatBuffer to texts, on its runtime.
Answer = Callable[[Path, Sequence[str]], np.ndarray]
Bits = Mapping[str, int]


@dataclass(frozen=True)
class Budget:
    """What may be lost to quantization, on the calibration texts.

    Attributes:
        agreement: least share of texts answered as float32 answers, in percent.
        drop: most loss of accuracy against float32, in points.
    """

    agreement: float = 97.0
    drop: float = 1.0


@dataclass(frozen=True)
class QuantizationCost:
    """What bits cost, on ``texts`` of the calibration split.

    Attributes:
        agreement: percent answered as float32 answers.
        drop: points of accuracy lost against float32.
        loss: mean Kullback-Leibler divergence of the answers' probabilities from float32's, in
            nats: it tells layers apart long before one answer changes.
        weight_bytes: of all groups.
    """

    texts: int
    agreement: float
    drop: float
    loss: float
    weight_bytes: int

    def within(self, budget: Budget) -> bool:
        """Whether both bounds are kept."""
        return self.agreement >= budget.agreement and self.drop <= budget.drop


@dataclass(frozen=True)
class Recipe:
    """Bits of each group, what they were found with, and what they cost.

    Attributes:
        weights_sha256: of the checkpoint that was measured.
        calibration_sha256: of the texts that decided.
        bits: by group.
        cost: of all together.
        alone: by width and group, what that group alone costs there: the ranking, cheapest first.
    """

    weights_sha256: str
    calibration_sha256: str
    budget: Budget
    bits: dict[str, int]
    cost: QuantizationCost
    alone: dict[str, dict[str, QuantizationCost]]

    def save(self, path: Path) -> None:
        """Write the recipe."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load(checkpoint: Checkpoint) -> Recipe:
    """The recipe of a checkpoint.

    Raises:
        QuantizeError: there is none, or it is another checkpoint's.
    """
    path = checkpoint.path / RECIPE
    search_again = f"python fit.py mixed {checkpoint.source.said}"
    try:
        body: dict[str, Any] = json.loads(path.read_text())
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
            f"{path}: no recipe; mode mixed is found by measuring: {search_again}"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        told = f"{path}: no recipe ({error!r}); find it again: {search_again}"
        raise QuantizeError(told) from None
    if recipe.weights_sha256 != checkpoint.weights_sha256:
        raise QuantizeError(f"{path}: found for other weights; find it again: {search_again}")
    return recipe


def rules(source: Path, bits: Bits) -> tuple[Rule, ...]:
    """ai-edge-quantizer's recipe for ``bits`` of each group of a float32 FlatBuffer.

    Raises:
        QuantizeError: its groups are others.
    """
    members, _ = groups(source)
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
    # A scale for each channel that clips what is rare: with few bits it keeps more answers.
    return rule(
        bits, granularity="CHANNELWISE", algorithm="OCTAV", operation=operation, where=where
    )


def groups(source: Path) -> tuple[dict[str, list[str]], dict[str, int]]:
    """By group, the names of its dense layers, and how many numbers they hold."""
    model = unpack(source.read_bytes(), source)
    graph = model.subgraphs[0]
    members: dict[str, list[str]] = {EMBEDDING: []}
    numbers: dict[str, int] = {EMBEDDING: 0}
    for operator in graph.operators:
        kind = operator_name(model.operatorCodes[operator.opcodeIndex])
        if kind not in ("FULLY_CONNECTED", "EMBEDDING_LOOKUP"):
            continue
        group = EMBEDDING
        if kind == "FULLY_CONNECTED":
            (name,) = _DENSE.findall(graph.tensors[operator.outputs[0]].name.decode())
            found = _LAYER.match(name)
            part = found and ("attention" if found["attention"] else "feed_forward")
            group = f"{found['layer']}.{part}" if found else name
            members.setdefault(group, []).append(name)
        table = graph.tensors[operator.inputs[1]]
        numbers[group] = numbers.get(group, 0) + int(np.prod(table.shape))
    return members, numbers


@dataclass(frozen=True)
class _Scale:
    """Weighs bits: quantizes, asks, compares; what was measured once is kept in the cache."""

    source: Path
    cache: Cache
    dataset: Dataset
    answer: Answer
    runtime: str
    float32: np.ndarray
    numbers: Mapping[str, int]

    def cost(self, bits: Bits) -> QuantizationCost:
        recipe = rules(self.source, bits)

        def build(folder: Path) -> None:
            path = folder / MODEL_FILE
            path.write_bytes(quantize(self.source, recipe))
            logits = self.answer(path, self.dataset.texts)
            path.unlink()
            size = sum(bits[group] * n // 8 for group, n in self.numbers.items())
            found = _compare(logits, self.float32, self.dataset.labels, size)
            (folder / "cost.json").write_text(json.dumps(asdict(found)))

        code = getsource(quantizer) + getsource(_compare)
        inputs = {
            "from": hashlib.sha256(self.source.read_bytes()).hexdigest(),
            "recipe": recipe,
            "dataset": self.dataset.checksum(),
            "code": hashlib.sha256(code.encode()).hexdigest(),
            "ai-edge-quantizer": version("ai-edge-quantizer"),
            "runtime": self.runtime,
        }
        path = self.cache.artifact("cost", inputs, build, quiet=True).path / "cost.json"
        return QuantizationCost(**json.loads(path.read_text()))

    def of(self, count: int) -> _Scale:
        """The same with a sample of the texts."""
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
    answer: Answer,
    runtime: str,
    budget: Budget,
    rank_with: int,
) -> Recipe:
    """The fewest bits within ``budget``, by what each group costs on ``texts`` of calibration.

    Prints each step. Killed, it goes on from what the cache holds.

    Args:
        float32: the checkpoint's float32 FlatBuffer.
        answer: how a FlatBuffer is asked.
        runtime: what answers, with its version: another one's answers are others.
        rank_with: how many texts rank the groups; all decide.

    Raises:
        QuantizeError: even 8 bits everywhere are outside the budget.
    """
    from models.tflite import transformations

    inputs = {
        "from": float32.parent.name,
        "signature": _MEASURED_LENGTH,
        "code": hashlib.sha256(getsource(transformations).encode()).hexdigest(),
    }
    runtime = f"{runtime}, tokenizer {file_sha256(checkpoint.tokenizer)}"
    one = cache.artifact(
        "one_signature",
        inputs,
        lambda folder: _write(
            folder, transformations.one_signature(float32.read_bytes(), _MEASURED_LENGTH)
        ),
    )
    source = one.path / MODEL_FILE
    print(f"{checkpoint.name}: {len(dataset)} calibration texts answered in float32", flush=True)
    answered = cache.artifact(
        "float32_answers",
        {"from": one.path.name, "dataset": dataset.checksum(), "runtime": runtime},
        lambda folder: np.save(folder / "logits.npy", answer(source, dataset.texts)),
        quiet=True,
    )
    _, numbers = groups(source)
    logits = np.load(answered.path / "logits.npy")
    whole = _Scale(source, cache, dataset, answer, runtime, logits, numbers)
    few = whole.of(rank_with)
    bits, kept = dict.fromkeys(numbers, WIDTHS[0]), set(numbers)
    cost = whole.cost(bits)
    _say(f"all groups, {WIDTHS[0]} bits", cost)
    if not cost.within(budget):
        raise QuantizeError(f"{WIDTHS[0]} bits everywhere are outside {budget}: {cost}")
    alone: dict[str, dict[str, QuantizationCost]] = {}
    for width in WIDTHS[1:]:
        lower = {**bits, **dict.fromkeys(kept, width)}
        together = whole.cost(lower)
        _say(f"all groups that can, {width} bits", together)
        if together.within(budget):
            bits, cost = lower, together
            continue
        base = few.cost(bits)
        ranking: dict[str, tuple[float, QuantizationCost]] = {}
        for n, group in enumerate(sorted(kept), start=1):
            found = few.cost({**bits, group: width})
            saved = base.weight_bytes - found.weight_bytes
            ranking[group] = ((found.loss - base.loss) / saved, found)
            _say(f"{n}/{len(kept)} {group} alone, {width} bits", found)
        order = sorted(ranking, key=lambda group: ranking[group][0])
        alone[str(width)] = {group: ranking[group][1] for group in order}
        count, bits, most = _most(order, bits, width, whole, budget)
        cost, kept = most or cost, set(order[:count])
    return Recipe(
        checkpoint.weights_sha256,
        dataset.checksum(),
        budget,
        dict(sorted(bits.items())),
        cost,
        alone,
    )


def _most(
    order: Sequence[str], bits: Bits, width: int, scale: _Scale, budget: Budget
) -> tuple[int, dict[str, int], QuantizationCost | None]:
    """The longest head of ``order`` that can go to ``width`` bits, by halving."""
    best: tuple[int, dict[str, int], QuantizationCost | None] = (0, dict(bits), None)
    low, high = 0, len(order) - 1  # all of them were tried
    while low < high:
        middle = (low + high + 1) // 2
        lower = {**bits, **dict.fromkeys(order[:middle], width)}
        found = scale.cost(lower)
        _say(f"the {middle} cheapest, {width} bits", found)
        if found.within(budget):
            low, best = middle, (middle, lower, found)
        else:
            high = middle - 1
    return best


def _say(what: str, cost: QuantizationCost) -> None:
    print(
        f"{what}: agreement {cost.agreement:.2f}%, drop {cost.drop:.2f} points, "
        f"loss {cost.loss:.5f}, weights {cost.weight_bytes / 1e6:.2f} MB ({cost.texts} texts)",
        flush=True,
    )


def _write(folder: Path, content: bytes) -> None:
    (folder / MODEL_FILE).write_bytes(content)
