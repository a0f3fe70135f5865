"""docs/extending.md, carried out: each recipe in a copy of the tree, by one file or one row."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from suites.selftest import synthetic

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
LEFT_OUT = (".*", "runs", "results", "__pycache__")
# A runtime that computes nothing: what it answers stands in a table, by the number of tokens.
RUNTIME = '''
"""stub: logits from a table, by the number of tokens."""

NAME = "stub"
MODULE = "csv"
FORMAT = "tflite"
GROUP = "ai-edge-litert"
BY_DEFAULT = False
TABLE = [[n % 3, n % 5, n % 7] for n in range(25)]


class Signature:
    name = "main"
    inputs = {name: ("int32", (1, 24)) for name in ("input_ids", "attention_mask")}
    outputs = {"logits": ("float32", (1, 3))}
    longest = None

    def run(self, given):
        import numpy

        return {"logits": numpy.array([TABLE[int(given["attention_mask"].sum())]], "float32")}


def load(runtime, model_file, threads):
    return [Signature()], "a table"
'''.replace("TABLE", "_TABLE")
# What states the new metric: a claim of the recipe's kind.
CLAIM = '''
"""Claim: texts have tokens."""

import os

from fixtures.target import Target
from reports.check import Check
from reports.verdict import Estimate


def test_texts_have_tokens(target: Target, check: Check) -> None:
    tokens = float(os.environ["TOKENS"])
    check.metrics(tokens=tokens)
    check.at_least("tokens", Estimate(tokens, "tokens", "made up"), 1)
'''


def recipe(title: str) -> str:
    """Return the first code block of a section of docs/extending.md."""
    section = DOCS.split(f"\n## {title}\n")[1].split("\n## ")[0]
    found = re.search(r"```\w+\n(.*?)```", section, re.DOTALL)
    assert found, title
    return found[1]


class Tree:
    """A copy of this project, to which one thing is added."""

    def __init__(self, root: Path) -> None:
        self.root = root
        ignored = shutil.ignore_patterns(*LEFT_OUT)
        shutil.copytree(ROOT, root, ignore=ignored, copy_function=_link)

    def add(self, path: str, content: str) -> None:
        """Write a file; one that is there is replaced, not written through to the original."""
        (self.root / path).unlink(missing_ok=True)
        (self.root / path).write_text(content, encoding="utf-8")

    def run(self, *command: str, **environment: str) -> str:
        """Run a command of the project; return what it prints."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.root,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return done.stdout

    def judge(self, markers: str, *options: str, **environment: str) -> tuple[str, dict[str, Any]]:
        """Judge a target; return what is printed, and the verdict file."""
        run = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", markers, "--preset=smoke")
        given = {option.partition("=")[0] for option in options}
        default = {"--runtime": "ai-edge-litert", "--mode": "dynamic_range"}
        chosen = [f"{name}={value}" for name, value in default.items() if name not in given]
        places = (f"--cache-dir={ROOT / '.cache'}", "--report-dir=report")
        printed = self.run(*run, *chosen, *places, *options, **environment)
        path = self.root / "report" / "verdicts.json"
        assert path.exists(), printed
        return printed, json.loads(path.read_text())

    def gate(self) -> str:
        """Hold the last run against the baseline, which is made of it unless it is there."""
        if not (self.root / "baseline.json").exists():
            made = self.run("fit.py", "baseline", "report", "--out", "baseline.json")
            assert "baseline: baseline.json" in made, made
        return self.run("fit.py", "gate", "report", "--baseline", "baseline.json")

    @property
    def baseline(self) -> str:
        return (self.root / "baseline.json").read_text()


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copy2(source, target)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


def test_a_board(tree: Tree) -> None:
    more = '\n[image]\nos = "its own"\nglibc = "2.36"\npython = "3.11"\n'
    more += '\n[emulation]\ncpu = "cortex-a55"\n'
    tree.add("devices/profiles/my_board.toml", recipe("A board") + more)
    assert "@pytest.mark.my_board: My board" in tree.run("-m", "pytest", "--markers")
    printed, data = tree.judge("my_board and footprint", "--emulate")
    assert re.search(r"^my_board@qemu +ai-edge-litert +dynamic_range", printed, re.MULTILINE)
    assert data["targets"][0]["target"]["device"] == "my_board@qemu"
    assert "1 of the run: 0 regressions" in tree.gate()
    assert "my_board@qemu" in tree.baseline


def test_a_runtime(tree: Tree) -> None:
    tree.add("devices/runtimes/stub.py", RUNTIME)
    assert "stub" in tree.run("-m", "pytest", "--help").partition("--runtime")[2][:400]
    printed, data = tree.judge("host and (footprint or privacy)", "--runtime=stub")
    assert re.search(r"^host +stub +dynamic_range", printed, re.MULTILINE), printed
    verdicts = {r["claim"]: r["verdict"] for r in data["records"] if r["measurements"]}
    assert verdicts == {"footprint": "passes", "privacy": "passes"}, printed
    assert "1 of the run: 0 regressions" in tree.gate()
    assert '"stub"' in tree.baseline


def test_a_mode(tree: Tree) -> None:
    tree.add("models/modes/int8_embedding.py", recipe("A mode"))
    assert "int8_embedding" in tree.run("-m", "pytest", "--help")
    printed, data = tree.judge("host and footprint", "--mode=int8_embedding")
    assert re.search(r"^host +ai-edge-litert +int8_embedding", printed, re.MULTILINE), printed
    assert all(r["verdict"] == "passes" for r in data["records"] if r["measurements"]), printed
    assert "1 of the run: 0 regressions" in tree.gate()
    assert "int8_embedding" in tree.baseline


def test_an_architecture(tree: Tree, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    source = (ROOT / "models" / "architectures" / "bert.py").read_text(encoding="utf-8")
    source, changes = re.subn(r"^MODEL_TYPES.*$", 'MODEL_TYPES = ("my_bert",)', source, flags=re.M)
    assert changes == 1
    tree.add("models/architectures/my_bert.py", source)
    checkpoint = synthetic.write_bert(tmp_path / "mine", synthetic.NAMES)
    config = json.loads((checkpoint / "config.json").read_text()) | {"model_type": "my_bert"}
    (checkpoint / "config.json").write_text(json.dumps(config))
    synthetic.write_dataset(tmp_path / "mine.csv")
    assert "my_bert" in tree.run("-m", "pytest", "--help")
    texts = f"--dataset={tmp_path / 'mine.csv'}"
    printed, data = tree.judge("host and footprint", f"--checkpoint={checkpoint}", texts)
    assert "architecture my_bert" in printed.replace("\n  ", " "), printed
    assert data["metadata"]["architecture"] == "my_bert"
    assert any(record["measurements"] for record in data["records"]), printed
    assert "1 of the run: 0 regressions" in tree.gate()


def test_a_reader(tree: Tree, tmp_path: Path) -> None:
    tree.add("data/readers/lines.py", recipe("A reader"))
    made = synthetic.dataset()
    rows = zip(made.labels, made.texts, strict=True)
    lines = [f"{made.label_names[label]}\t{text}" for label, text in rows]
    (tmp_path / "texts.tsv").write_text("\n".join(lines) + "\n")
    assert "lines" in tree.run("-m", "pytest", "--help").partition("--dataset")[2][:400]
    printed, data = tree.judge("host and footprint", f"--dataset=lines:root={tmp_path}")
    assert "on mine" in printed, printed
    assert data["metadata"]["dataset"] == "mine"
    assert "1 of the run: 0 regressions" in tree.gate()
    assert '"mine"' in tree.baseline


def test_a_claim(tree: Tree) -> None:
    tree.add("suites/test_floppy.py", recipe("A claim"))
    assert "@pytest.mark.floppy" in tree.run("-m", "pytest", "--markers")
    printed, data = tree.judge("host and (footprint or floppy)")
    assert re.search(r"dynamic_range +does not ship", printed), printed
    assert "floppy: floppy is" in printed
    (record,) = (r for r in data["records"] if r["claim"] == "floppy")
    assert record["verdict"] == "fails"
    assert "1 of the run: 0 regressions" in tree.gate()
    assert '"floppy"' in tree.baseline


def test_a_metric(tree: Tree) -> None:
    table = (ROOT / "reports" / "metrics.py").read_text(encoding="utf-8")
    end = "\n)\n\nMETRICS: dict"
    assert table.count(end) == 1
    row = "    " + recipe("A metric").strip().replace("\n", "\n    ") + ","
    tree.add("reports/metrics.py", table.replace(end, f"\n{row}{end}"))
    tree.add("suites/test_tokens.py", CLAIM)  # states a value of it
    assert "mean number of tokens of a text" in tree.run("fit.py", "metrics")
    _, data = tree.judge("host and (footprint or tokens)", TOKENS="10")
    assert data["targets"][0]["metrics"]["tokens"] == 10
    assert "| tokens" in tree.run("fit.py", "show", "report", "--markdown")
    assert "0 regressions" in tree.gate()
    tree.judge("host and (footprint or tokens)", TOKENS="20")
    assert re.search(r"tokens.*10.*20", tree.gate())
    assert "1 regressions" in tree.gate()
