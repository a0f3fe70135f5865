"""Targets of which a test plants what matters, by name; and claim files as modules."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np

from data.dataset import Dataset
from devices.boards.board import Board, this_machine
from devices.client import Outputs
from fixtures.target import Target, TargetId
from fixtures.tolerance import Tolerance
from models.modes import MODES
from reports.check import Check, new_record

SUITES = Path(__file__).parents[2]
NAMES = ("negative", "neutral", "positive")


def claim(name: str) -> ModuleType:
    """Return `suites/test_NAME.py` as a module of another name than pytest's own import of it."""
    spec = importlib.util.spec_from_file_location(f"claim_{name}", SUITES / f"test_{name}.py")
    assert spec
    assert spec.loader
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def planted(
    texts: Dataset,
    mode: str = "dynamic_range",
    runtime: str = "ai-edge-litert",
    *,
    board: Board | None = None,
    run: Any = None,
    **values: Any,
) -> Target:
    """Return a target with attributes planted: what a claim reads of the others fails.

    Args:
        texts: the evaluation texts. The sample is all of them, unless `sample` is planted.
        mode, runtime: of the target.
        board: its board (default: this machine).
        run: what of the run a claim reads.
        values: any other attribute of `fixtures.target.Target`.
    """
    board = board or this_machine("host", Path("cache"))
    run = cast(Any, run or SimpleNamespace())
    target = Target(TargetId(board.name, runtime, mode), run)
    values.setdefault("answers_probabilities", False)
    values.setdefault("share_of_float32", None)
    values.setdefault("show_texts", False)
    values.setdefault("sample_here", getattr(run, "large_sample", None))
    promised = MODES[mode]
    most = promised.mean_logit_error, promised.max_logit_error
    values.setdefault("tolerance", Tolerance(*most, "what the mode promises"))
    sample = values.pop("sample", list(range(len(texts))))
    vars(target).update(
        board=board,
        evaluation=texts,
        sample=sample,
        texts=values.pop("texts", texts if len(sample) == len(texts) else texts.take(sample)),
        affordable=lambda count: count,
        tokens_of=lambda texts: [10] * len(texts),
        unknown_pieces=[0] * len(sample),
        **values,
    )
    return target


def outputs_of(logits: np.ndarray, tokens: tuple[int, ...] | None = None) -> Outputs:
    """Return a target's outputs with these logits: float32 (texts, classes)."""
    known = (10,) * len(logits) if tokens is None else tokens
    return Outputs(logits, logits.argmax(1), NAMES, known, 0)


def recorded(logits: np.ndarray, **values: Any) -> Any:
    """Return reference outputs with these logits."""
    predictions = tuple(logits.argmax(1).tolist())
    return SimpleNamespace(predictions=predictions, logits=logits, **values)


def opens(worker: Any) -> Callable[..., Any]:
    """Return a `Target.worker` that opens this one."""

    @contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[Any]:
        yield worker

    return opened


def fresh_check() -> Check:
    """Return a check whose record nobody reads."""
    return Check(new_record("test"))
