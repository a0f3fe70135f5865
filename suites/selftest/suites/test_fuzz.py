"""Bad input is refused in one sentence or read; and what finds out whether it is can fail."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Of all kinds together. A fixed seed and number: the outcome does not depend on the speed.
INPUTS, SEED = 1200, 17


def test_no_input_comes_to_a_traceback_a_crash_or_a_hang(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "suites.fuzz", f"--inputs={INPUTS}", f"--seed={SEED}"]
    done = subprocess.run(
        [*command, f"--out={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    counted = re.findall(r"(.+): \{'clean': (\d+), 'refused': (\d+)", done.stdout)
    assert len(counted) == 21
    for name, clean, refused in counted:
        assert int(clean) or int(refused) < 10, f"{name}: none was read to its end: little is tried"
    assert sum(int(refused) for *_, refused in counted) > INPUTS / 2


# What readers do that none may do. The first is what a fault of this project's would be.
FAULTY = """
import json, os, signal, sys
from pathlib import Path
from suites.fuzz import trial

def missing(folder): {}["missing"]
def crash(folder): os.kill(os.getpid(), signal.SIGSEGV)
def outside(folder): Path(sys.argv[1], "outside").write_text("x")
def lines(folder): raise trial.ERRORS[0]("one line\\nand another")
def silent(folder): raise trial.ERRORS[0]("")
def large(folder): return bytearray(2 * trial.MEMORY_BYTES)
def hang(folder):
    while True: pass
def clean(folder): assert (folder / "input").read_text() == "x"
def refused(folder): raise trial.ERRORS[0]("one line")

def make(folder, rng):
    (folder / "input").write_text("x")

trial.CPU_SECONDS = 1
ends = {}
for read in (missing, crash, outside, lines, silent, large, hang, clean, refused):
    kind = trial.Kind(read.__name__, make, read)
    counts, faults = trial.run(kind, 0, [1], Path(sys.argv[1]) / "out")
    ends[read.__name__] = [fault.what for fault in faults] or [x for x in counts if counts[x]]
print(json.dumps(ends))
"""


def test_each_kind_of_fault_is_found_and_its_input_kept(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTY, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    ends = {name: end[0] for name, end in json.loads(done.stdout).items()}
    assert ends.pop("missing").startswith("KeyError at ")
    assert ends.pop("large").startswith("MemoryError at ")
    assert ends == {
        "crash": "crash",
        "outside": "wrote outside",
        "lines": "message of several lines",
        "silent": "message",
        "hang": "hang",
        "clean": "clean",
        "refused": "refused",
    }
    kept = {folder.name for folder in (tmp_path / "out" / "inputs").iterdir()}
    faulty = ("missing", "crash", "outside", "lines", "silent", "large", "hang")
    assert kept == {f"{name}-1" for name in faulty}


@pytest.mark.parametrize("kind", ["config.json", "bundle"])
def test_an_input_is_the_same_for_the_same_seed_and_number(kind: str, tmp_path: Path) -> None:
    from suites.fuzz import trial
    from suites.fuzz.kinds import KINDS

    def content(folder: Path, seed: int) -> dict[str, bytes]:
        made = trial.make(KINDS[kind], seed, 3, folder)
        return {path.name: path.read_bytes() for path in made.iterdir()}

    assert content(tmp_path / "a", 1) == content(tmp_path / "b", 1) != content(tmp_path / "c", 2)
