"""A FlatBuffer is counted from the file, and a projection contains what was published."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest

from common.cache import Cache
from devices.errors import DeviceError
from devices.measurement.projection import by_instructions, by_roofline
from devices.profile import profile, profiles
from models import modes
from models.architectures import architecture_of
from models.checkpoints.checkpoint import Checkpoint
from models.tflite.flops import operations


def arithmetic(config: dict[str, Any], tokens: int) -> int:
    """Twice the multiplications of MobileBERT, from its configuration: the tables are looked up,
    the head sees one token, the rest all of them, and attention each pair."""
    shapes = architecture_of(config).parameter_shapes(config)
    dense = {k: v for k, v in shapes.items() if len(v) == 2 and "_embeddings." not in k}
    head = sum(a * b for k, (a, b) in dense.items() if "pooler" in k or k.startswith("classifier"))
    body = sum(a * b for a, b in dense.values()) - head
    attention = 2 * config["num_hidden_layers"] * config["intra_bottleneck_size"]
    return 2 * (head + body * tokens + attention * tokens**2)


@pytest.mark.parametrize("mode", ["float32", "dynamic_range"])
def test_operations_are_those_of_the_graph(mode: str, checkpoint: Checkpoint, cache: Cache) -> None:
    found = operations(modes.build(mode, checkpoint, cache))
    assert list(found) == [24, 40, 64, 128]
    for tokens, counted in found.items():
        assert counted.arithmetic == arithmetic(dict(checkpoint.config), tokens)
    # All weights but the rows of the tables that are not looked up; int8 a quarter of float32.
    megabytes = {"float32": (80, 84), "dynamic_range": (20, 21)}[mode]
    assert megabytes[0] < found[24].weight_bytes / 1e6 < megabytes[1]
    assert found[24].weight_bytes < found[128].weight_bytes
    assert found[128].activation_bytes > 4 * found[24].activation_bytes


def test_the_published_mobilebert_on_a_pi_4_lies_in_both_brackets(checkpoint: Checkpoint) -> None:
    """384 tokens, float32, four threads: 1.59 s (Samsung/ONE, issue 11599)."""
    pi4, counted = profile("pi4"), arithmetic(dict(checkpoint.config), 384)
    assert counted == pytest.approx(17.4e9, rel=0.01)
    found = by_roofline(pi4, counted, weight_bytes=82e6, activation_bytes=900e6)
    assert found.lower < 1.59 < found.upper < 2 * found.lower
    # At 0.177 instructions an operation, counted for 24 to 128 tokens.
    found = by_instructions(pi4, 0.177 * counted)
    assert found.lower < 1.59 < found.upper < 2.2 * found.lower


def test_what_is_projected_says_so_and_spans_its_bracket() -> None:
    pi4 = profile("pi4")
    for found in (by_instructions(pi4, 1e9), by_roofline(pi4, 1e9, 1e6, 1e6)):
        assert found.statistic.startswith("projected: ")
        assert found.seconds == pytest.approx(sqrt(found.lower * found.upper))
    assert by_instructions(pi4, 1.5e9).lower == pytest.approx(1 / 1.9)
    # Much to read and little to compute: the bandwidth of memory decides.
    found = by_roofline(pi4, 1.0, weight_bytes=2.33e9, activation_bytes=2.33e9)
    assert (found.lower, found.upper) == pytest.approx((1.0, 2.0))


def test_the_brackets_of_a_profile_agree_with_each_other() -> None:
    """Instructions a cycle are the efficiency, times operations a cycle, times 0.177."""
    for name, board in profiles().items():
        if board.projection is None or board.peak is None:
            assert name == "host"
            continue
        a_cycle = 0.177 * board.peak.fp32_gflops / board.projection.ghz
        for share, instructions in zip(
            board.projection.efficiency, board.projection.instructions_per_cycle, strict=True
        ):
            assert instructions == pytest.approx(share * a_cycle, rel=0.1), name


def test_nothing_is_projected_for_a_device_that_states_nothing() -> None:
    with pytest.raises(DeviceError, match=r"without \[projection\]"):
        by_instructions(profile("host"), 1e9)
    with pytest.raises(DeviceError, match=r"without \[peak\] and \[projection\]"):
        by_roofline(profile("host"), 1e9, 1e6, 1e6)
