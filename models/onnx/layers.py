"""The layers that architectures are made of, in ONNX: one text, shape (tokens, width).

The methods and their meaning are those of `models.tflite.layers.Layers`. Here the number of tokens
is known only at run time, so one graph serves every length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from models.architectures import BIGRAM_FACTOR, MASKED

_LAST = np.iinfo(np.int64).max  # "to the end" of a slice


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph, float32 or int64, in an expression: ``+``, ``*`` and slicing.

    Attributes:
        graph: where it is computed.
        name: its name there.
        width: its last dimension, where that is known.
    """

    graph: Graph
    name: str
    width: int | None = None

    def __add__(self, other: Any) -> Tensor:
        return self.graph.add("Add", self, other)

    def __mul__(self, other: Any) -> Tensor:
        return self.graph.add("Mul", self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __getitem__(self, index: slice | int) -> Tensor:
        """Return rows, or one row without its first dimension."""
        if isinstance(index, int):
            return self.graph.add("Gather", self, np.array(index), width=self.width, axis=0)
        start, stop, axis = (
            np.array([n], np.int64)
            for n in (index.start or 0, _LAST if index.stop is None else index.stop, 0)
        )
        return self.graph.add("Slice", self, start, stop, axis, width=self.width)


@dataclass
class Graph:
    """The nodes and the constants of a graph, in order of computation.

    Attributes:
        nodes: what computes.
        constants: by name.
        scope: the name of what is computed now: a weight's.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    scope: str = ""

    def constant(self, name: str, value: np.ndarray) -> Tensor:
        """Return a constant, which is stored once for each name."""
        self.constants[name] = value
        return Tensor(self, name, value.shape[-1] if value.ndim else None)

    def add(self, operator: str, *inputs: Any, width: int | None = None, **attributes: Any) -> Any:
        """Append a node. Return its output, of ``width``, or as wide as its widest input.

        An input is a tensor, an array or a float.
        """
        tensors = [x if isinstance(x, Tensor) else self.literal(x) for x in inputs]
        name = f"{self.scope}/{operator}_{len(self.nodes)}"
        names = [tensor.name for tensor in tensors]
        self.nodes.append(onnx.helper.make_node(operator, names, [name], name=name, **attributes))
        widths = [tensor.width for tensor in tensors if tensor.width]
        return Tensor(self, name, width or max(widths, default=None))

    def literal(self, value: Any) -> Tensor:
        """Return a constant named by its value."""
        array = np.asarray(value, np.float32 if isinstance(value, float) else None)
        name = f"{array.dtype}:{array.tolist()}"
        return Tensor(self, self.constant(name, array).name)


@dataclass(frozen=True)
class Layers:
    """Named weights of a checkpoint (float32 arrays in PyTorch's layout, out x in), and a graph."""

    weights: Mapping[str, np.ndarray]
    graph: Graph = field(default_factory=Graph)

    def embed(self, name: str, ids: Tensor) -> Tensor:
        """Rows of a large table: (tokens,) → (tokens, width)."""
        self.graph.scope = name
        table = self._weight(f"{name}.weight")
        return self.graph.add("Gather", table, ids, width=table.width, axis=0)

    def positions(self, name: str, mask: Tensor, first: int = 0) -> Tensor:
        """Rows of a position table: (tokens,) mask → (tokens, width).

        A token's position is the number of real tokens before it, counted from row ``first``.
        """
        self.graph.scope = name
        counted = self.graph.add("CumSum", mask, np.array(0)) + np.array(first - 1)
        return self.embed(name, self.graph.add("Max", counted, np.array(first)))

    def token_types(self, name: str, types: Tensor) -> Tensor:
        """Rows of the small table of token types: (tokens,) → (tokens, width), or (1, width)."""
        if self.weights[f"{name}.weight"].shape[0] == 1:
            return self._weight(f"{name}.weight")
        return self.embed(name, types)

    def trigram(self, words: Tensor) -> Tensor:
        """Each token with the one after and the one before it: (tokens, w) → (tokens, 3 w)."""
        assert words.width is not None
        padded = self.graph.add("Pad", words, np.array([1, 0, 1, 0]), np.float32(0))
        three = padded[2:], words, padded[:-2]
        return self.graph.add("Concat", *three, width=3 * words.width, axis=-1)

    def bigrams(self, ids: Tensor, mask: Tensor, rows: int) -> Tensor:
        """Each token and the one after it, hashed: two (tokens,) → (tokens,) below ``rows``.

        Behind the last real token stands 0, whether or not the text is padded.
        """
        self.graph.scope = "bigrams"
        real = ids * mask
        following = self.graph.add("Pad", real[1:], np.array([0, 1]), np.array(0))
        hashed = real * np.array(BIGRAM_FACTOR) + following
        return self.graph.add("Mod", hashed, np.array(rows))

    def without_padding(self, x: Tensor, mask: Tensor) -> Tensor:
        """The same with 0 for padding: (tokens, width), (tokens,) → (tokens, width)."""
        self.graph.scope, add = "without_padding", self.graph.add
        real = add("Cast", add("Unsqueeze", mask, np.array([1])), to=onnx.TensorProto.FLOAT)
        return add("Mul", x, real, width=x.width)

    def mean(self, x: Tensor, mask: Tensor) -> Tensor:
        """Mean of the real tokens; padding is 0: (tokens, width), (tokens,) → (1, width)."""
        self.graph.scope, add = "mean", self.graph.add
        real = add("Cast", mask, to=onnx.TensorProto.FLOAT)
        total, count = (add("ReduceSum", t, np.array([0]), keepdims=1) for t in (x, real))
        return add("Div", total, count, width=x.width)

    def maximum(self, x: Tensor) -> Tensor:
        """Maximum over tokens: (tokens, width) → (1, width)."""
        self.graph.scope = "maximum"
        return self.graph.add("ReduceMax", x, np.array([0]), width=x.width, keepdims=1)

    def dense(self, name: str, x: Tensor, *, scope: str | None = None) -> Tensor:
        """(tokens, in) → (tokens, out)."""
        self.graph.scope = scope or name
        # Stored in x out, as a product needs it: what quantizes looks for a constant there.
        table = self.graph.constant(f"{name}.weight", self.weights[f"{name}.weight"].T)
        product = self.graph.add("MatMul", x, table, width=table.width)
        return product + self._weight(f"{name}.bias")

    def layer_norm(
        self, name: str, x: Tensor, epsilon: float, *, scope: str | None = None
    ) -> Tensor:
        """Normalise each token to mean 0 and variance 1, then scale and shift."""
        self.graph.scope = scope or name
        scale, shift = (self._weight(f"{name}.{kind}") for kind in ("weight", "bias"))
        return self.graph.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)

    def scale_shift(self, name: str, x: Tensor, *, scope: str | None = None) -> Tensor:
        """MobileBERT's "no norm": scale and shift alone."""
        self.graph.scope = scope or name
        return x * self._weight(f"{name}.weight") + self._weight(f"{name}.bias")

    def activate(self, function: str, x: Tensor) -> Tensor:
        """An activation function by its name in ``config.json``."""
        return _ACTIVATIONS[function](x)

    def mask_bias(self, attention_mask: Tensor) -> Tensor:
        """(tokens,) of 1 and 0 → what is added to the scores: 0 and `MASKED`."""
        self.graph.scope = "attention_mask"
        mask = self.graph.add("Cast", attention_mask, to=onnx.TensorProto.FLOAT)
        return self.graph.add("Sub", 1.0, mask) * MASKED

    def attention(
        self, name: str, query: Tensor, key: Tensor, value: Tensor, *, bias: Tensor, heads: int
    ) -> Tensor:
        """Scaled dot-product attention: three (tokens, width) → (tokens, width).

        ``bias``, shape (tokens,), is added to the score of each key.
        """
        self.graph.scope, add = name, self.graph.add
        assert query.width and value.width

        def split(x: Tensor, order: tuple[int, ...]) -> Any:
            assert x.width
            shape = np.array([-1, heads, x.width // heads])
            return add("Transpose", add("Reshape", x, shape), perm=order)

        scores = add("MatMul", split(query, (1, 0, 2)), split(key, (1, 2, 0)))
        scores = add("Div", scores, math.sqrt(query.width // heads)) + bias
        context = add("MatMul", add("Softmax", scores, axis=-1), split(value, (1, 0, 2)))
        joined = add("Transpose", context, perm=(1, 0, 2))
        return add("Reshape", joined, np.array([-1, value.width]), width=value.width)

    def _weight(self, name: str) -> Tensor:
        return self.graph.constant(name, self.weights[name])


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: x.graph.add("Relu", x),
    "gelu": lambda x: x.graph.add("Gelu", x, approximate="none"),
    "gelu_new": lambda x: x.graph.add("Gelu", x, approximate="tanh"),
    "tanh": lambda x: x.graph.add("Tanh", x),
}
