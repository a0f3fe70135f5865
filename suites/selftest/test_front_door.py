"""The command line: what is asked for is judged, or refused with a sentence saying what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fixtures.cases
from devices.profile import profile

ROOT = Path(__file__).parents[2]


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-m", "pi4"], "-m pi4: this machine is not that device. It is 'host': "),
        (["-m", "pi4 and latency"], "--gateway=ssh=pi@board//python=python3"),
        (["-m", "jetson_nano"], "with --emulate. The machine at hand is judged with -m host"),
        (["-m", "host", "--emulate"], "--emulate: name a board with -m"),
        (["--gateway=socket=here"], "a runner takes popen or ssh=HOST"),
        (["-m", "pi4", "--gateway=popen//python=python3"], "asked for pi4"),
        (["-m", "host", *["--gateway=popen//python=python3"] * 2], "apart with //id=NAME"),
        (["-m", "host", "--power-log=none.csv"], "--power-log: none.csv"),
        (["-m", "host", "--report-dir=tox.ini"], "--report-dir: cannot be written to: "),
        (["-m", "host", "--report-dir=tox.ini/x", "-n", "2"], "Not a directory"),
        (["-m", "host", "--report-dir=/proc/no"], "--report-dir: cannot be written to: "),
        (["-m", "host", "--mode", "int3"], "--mode int3: unknown; there are float32, float16"),
        (["-m", "host", "--runtime", "tvm"], "--runtime tvm: unknown; there are ai-edge-litert"),
        (["-m", "host", "--tier", "slow"], "--tier slow: unknown; there are rapid, quick, normal"),
        (["-m", "host", "--threads", "0"], "--threads: at least 1"),
        (["-m", "host", "--checkpoint=no/such"], "no such folder"),
        (["-m", "host", "--baseline-flatbuffer=no.tflite"], "no.tflite: no such file"),
        (["-m", "host", "--baseline-flatbuffer=tox.ini"], "name the mode it has with one --mode"),
        (["-m", "pi4", "--emulate", "--power-log=a.csv"], "--power-log: an emulated board takes"),
        (["-m", "pi4 and pi5", "--emulate"], "--emulate: name a board with -m"),
        (["-m", "host and energy"], "no test is left to judge by; energy is judged where"),
        (["-m", "host and cost", "-n", "2"], "cost is counted on emulated boards alone"),
        (["-m", "host", "-k", "nothing"], "-m 'host' -k 'nothing': no test is left to judge by"),
        (["-m", "pi9 and accuracy"], "unknown marker pi9; devices: host, jetson_nano, pi3"),
    ],
)
def test_what_cannot_be_judged_is_refused(arguments: list[str], said: str) -> None:
    run = _pytest("-q", *arguments)
    assert run.returncode == 4, run.stdout + run.stderr
    assert said in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("expression", "devices"),
    [
        ("pi4", ["pi4"]),
        ("pi4 or (pi5 and latency)", ["pi4", "pi5"]),
        ("host and not latency and not memory", ["host"]),
        ("not pi4", []),
        ("not  pi4", []),
        ("not (pi4 or pi5)", []),
        ("pi4 and pi5", []),
        ("orange_pi5", ["orange_pi5"]),
        ("latency", []),
        ("", []),
        ("pi4 and", []),  # pytest says what is wrong with it
    ],
)
def test_the_devices_that_are_asked_for(
    expression: str, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of which a test would be selected, by their whole names."""
    known = ("host", "orange_pi5", "pi4", "pi5")
    monkeypatch.setattr(fixtures.cases, "profiles", lambda: dict.fromkeys(known))
    assert fixtures.cases._named(expression) == devices


@pytest.mark.parametrize("name", ["rock-5b", "memory"])
def test_a_board_whose_name_is_no_marker_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixtures.cases, "profiles", lambda: {name: profile("pi4")})
    with pytest.raises(pytest.UsageError, match=rf"{name}\.toml: its name is the marker of -m"):
        fixtures.cases._device_markers()


def test_the_folder_of_replab_is_where_its_tweets_are_read(tmp_path: Path) -> None:
    run = _pytest(
        "-q", "-m", "host and accuracy", "-k", "agreement", "--mode", "dynamic_range",
        "--runtime", "ai-edge-litert", "--tweets", "replab2013",
        f"--replab-root={tmp_path / 'corpus'}", f"--report-dir={tmp_path}",
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    assert f"{tmp_path / 'corpus'}/entities/replab2013_entities.tsv: no such file" in run.stdout


@pytest.mark.parametrize("expression", ["host and latency", "latency"])
def test_ids_read_like_a_sentence(expression: str) -> None:
    run = _pytest("--collect-only", "-q", "-m", expression, "--mode", "dynamic_range")
    assert "test_latency_text_to_label[host-litert-dynamic_range]" in run.stdout
    assert "test_latency_text_to_label[host-tflite-runtime-dynamic_range]" in run.stdout
    assert "float16" not in run.stdout
    assert "accuracy" not in run.stdout


@pytest.mark.parametrize(
    "options", [("-m", "host"), ("-m", "pi4", "--emulate"), ("-m", "pi3", "--emulate")]
)
def test_a_board_s_known_misses_are_asked_of_no_other(options: tuple[str, ...]) -> None:
    """An entry that matches no test is an error, unless it is of what was not asked for."""
    run = _pytest("--collect-only", "-q", *options)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_header_names_what_is_judged() -> None:
    run = _pytest("--collect-only", "-m", "host", "--tier", "rapid")
    assert "board: host:" in run.stdout
    assert "mobilebert-brands" in run.stdout
    assert "tier: rapid" in run.stdout
