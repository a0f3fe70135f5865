"""Kill a process, or fill the disk, at random moments: `python -m suites.long.kills --out DIR`.

Each trial starts one command of `COMMANDS` on a small checkpoint in a folder of its own. It kills a
random process of the command at a random moment, or gives it a disk with less space than it needs.
Then it looks for what is left behind, runs the command again, and compares what came of it with
what comes of a run that nobody disturbs. Trials are kept in DIR: the same call goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from data.splits import load_splits
from devices.boards import emulation
from models.training.recording import record_checkpoint
from reports import aggregate
from reports.schema import TIMED_CLAIMS
from suites.selftest import synthetic

ROOT = Path(__file__).parents[2]
# Every process of a trial has it in its environment.
MARKER = "KILLS_TRIAL"
# How long what was killed may leave processes behind, and how long a command may take.
ORPHAN_S, HANG_S = 20.0, 900.0


def _verdicts(folder: Path) -> Any:
    """Return what a run found that no clock decides."""
    found = aggregate.read(folder / "report")
    return sorted(
        [record["nodeid"], record["verdict"]]
        for record in found["records"]
        if record["claim"] not in TIMED_CLAIMS and record["claim"] != "memory"
    )


def _hash(name: str) -> Callable[[Path], Any]:
    return lambda folder: hashlib.sha256((folder / name).read_bytes()).hexdigest()


def _bundled(folder: Path) -> Any:
    with zipfile.ZipFile(folder / "candidate.zip") as packed:
        manifest = json.loads(packed.read("manifest.json"))
        assert packed.testzip() is None
        return manifest["files"]  # hashes; the manifest's own date differs


def _history(folder: Path) -> Any:
    kept = sorted((folder / "history").glob("*.json"))
    return [json.loads(file.read_text())["records"] for file in kept]


@dataclass(frozen=True)
class Command:
    """A command that is disturbed.

    Attributes:
        arguments: after `python`; {here} is the trial's folder, {inputs} what is only read.
        outcome: what came of it, from the trial's folder.
    """

    arguments: str
    outcome: Callable[[Path], Any]


_CHECKPOINT = "{inputs}/recorded --dataset {inputs}/texts.csv"
_RUN = "--cache-dir={here}/cache --report-dir={here}/report --preset=smoke"
_CLAIMS = "accuracy or footprint or conformance or privacy"
COMMANDS = {
    "judge": Command(
        "fit.py judge {inputs}/bare --dataset {inputs}/texts.csv --mode int4 "
        f"--runtime ai-edge-litert {_RUN} -n 2 -m|host and ({_CLAIMS})",
        _verdicts,
    ),
    "emulated": Command(
        "-m pytest -q --checkpoint={inputs}/recorded --dataset={inputs}/texts.csv "
        f"--mode=dynamic_range --runtime=ai-edge-litert {_RUN} --emulate "
        "-m|pi4 and (conformance or footprint)",
        _verdicts,
    ),
    "bundle": Command(
        f"fit.py bundle {_CHECKPOINT} --reference {{inputs}}/recorded --mode int4 "
        "--cache-dir {here}/cache --out {here}/candidate.zip",
        _bundled,
    ),
    "finetune": Command(
        "fit.py finetune {inputs}/encoder --dataset {inputs}/texts.csv --epochs 3 "
        "--out {here}/tuned",
        _hash("tuned/model.safetensors"),
    ),
    "report": Command("fit.py report {inputs}/report --out {here}/page.html", _hash("page.html")),
    "history": Command("fit.py history add {inputs}/report --history {here}/history", _history),
}


def arguments(name: str, here: Path, inputs: Path) -> list[str]:
    """Return a command's words; what follows | is one word."""
    words, _, last = COMMANDS[name].arguments.partition("|")
    said = [*words.split(), *([last] if last else [])]
    return [sys.executable, *(word.format(here=here, inputs=inputs) for word in said)]


def start(name: str, here: Path, inputs: Path) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own; its output goes to a file."""
    (here / "tmp").mkdir(exist_ok=True)
    if name == "emulated" and not (here / "cache").exists():
        (here / "cache").mkdir()
        made = emulation.userland(ROOT / ".cache")
        (here / "cache" / "emulation").symlink_to(made.parent)
    said = here.parent / f"{here.name}.output"
    with said.open("wb") as output:
        return subprocess.Popen(
            arguments(name, here, inputs),
            cwd=ROOT,
            env=os.environ | {MARKER: str(here), "TMPDIR": str(here / "tmp")},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def processes(here: Path) -> list[int]:
    """Return the ids of a trial's processes."""
    found, wanted = [], f"{MARKER}={here}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            ended = (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            if not ended and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def run(name: str, here: Path, inputs: Path) -> tuple[int, float, str]:
    """Run a command to its end; return its exit status, its seconds and what it printed."""
    began = time.monotonic()
    running = start(name, here, inputs)
    try:
        status = running.wait(HANG_S)
    except subprocess.TimeoutExpired:
        kill_all(here)
        status = running.wait()
    return status, time.monotonic() - began, output(here)


def output(here: Path) -> str:
    return (here.parent / f"{here.name}.output").read_text(errors="replace")


def kill_all(here: Path) -> None:
    for pid in processes(here):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill(name: str, here: Path, inputs: Path, after: float, rng: Random) -> list[str]:
    """Kill a random process of a command; return what is wrong then."""
    running = start(name, here, inputs)
    with suppress(subprocess.TimeoutExpired):
        running.wait(after)
    if there := processes(here):
        with suppress(ProcessLookupError):
            os.kill(rng.choice(there), signal.SIGKILL)
    try:
        running.wait(HANG_S)
    except subprocess.TimeoutExpired:
        kill_all(here)
        return [f"hung for {HANG_S:.0f} s"]
    ended = time.monotonic()
    while (left := processes(here)) and time.monotonic() - ended < ORPHAN_S:
        time.sleep(0.1)
    faults = [f"{len(left)} processes were left after {ORPHAN_S:.0f} s"] if left else []
    kill_all(here)
    return faults


def half_written(here: Path) -> list[str]:
    """Return the results of a trial that cannot be read to their end."""
    faults = []
    for file in (*here.rglob("*.json"), *here.glob("*.zip")):
        if {"building", "tmp"} & {*file.relative_to(here).parts} or file.is_symlink():
            continue
        try:
            if file.suffix == ".zip":
                zipfile.ZipFile(file).testzip()
            else:
                json.loads(file.read_text())
        except (ValueError, zipfile.BadZipFile) as error:
            faults.append(f"{file.relative_to(here)} is half written ({error})")
    return faults


@contextmanager
def small_disk(here: Path, megabytes: float) -> Iterator[None]:
    """A file system of its own at a folder."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes * 1e6:.0f}", "tmpfs", here], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", here], check=True)


def fill(name: str, here: Path, inputs: Path, needed: float, rng: Random) -> list[str]:
    """Run a command on a disk that is too small, then on a larger one; return what is wrong."""
    size = max(0.01, needed * rng.uniform(0.02, 0.98))
    with small_disk(here, size):
        status, _, said = run(name, here, inputs)
        faults = half_written(here)
        # Where it was enough after all, nothing is to be said.
        if status not in (0, 1) and "space" not in said.lower():
            faults.append(f"with {size:.2f} MB it says: {said[-300:]}")
        if "Traceback" in said:
            faults.append(f"a traceback: {said[said.index('Traceback') :][-600:]}")
        enough = f"remount,size={2 * needed + 50:.0f}m"
        subprocess.run(["mount", "-o", enough, here], check=True)
        return faults + again(name, here, inputs)


def again(name: str, here: Path, inputs: Path) -> list[str]:
    """Run a disturbed command again; return how it differs from one that was not disturbed."""
    status, _, said = run(name, here, inputs)
    expected = json.loads((inputs / f"{name}.json").read_text())
    if status != expected["status"]:
        return [f"run again it ends with {status} and not {expected['status']}: {said[-300:]}"]
    found = json.loads(json.dumps(COMMANDS[name].outcome(here)))
    return [] if found == expected["outcome"] else ["run again it comes to another outcome"]


def undisturbed(name: str, inputs: Path) -> None:
    """Run a command with nobody near; keep what came of it, its seconds and its megabytes."""
    if (inputs / f"{name}.json").exists():
        return
    here = inputs / f"undisturbed-{name}"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    status, seconds, said = run(name, here, inputs)
    if status not in (0, 1):
        raise SystemExit(f"{name}: {said}")
    used = sum(file.stat().st_size for file in here.rglob("*") if file.is_file())
    kept = {"status": status, "seconds": seconds, "mb": used / 1e6}
    kept["outcome"] = COMMANDS[name].outcome(here)
    (inputs / f"{name}.json").write_text(json.dumps(kept))
    if name == "judge":
        shutil.copytree(here / "report", inputs / "report", dirs_exist_ok=True)


def write_inputs(inputs: Path) -> None:
    """Write checkpoints and texts that the commands read."""
    if (inputs / "recorded" / "reference_outputs.json").exists():
        return
    inputs.mkdir(parents=True, exist_ok=True)
    synthetic.write_dataset(inputs / "texts.csv")
    synthetic.write_checkpoint(inputs / "bare", "bert")
    shutil.copytree(inputs / "bare", inputs / "recorded", dirs_exist_ok=True)
    synthetic.write_bert(inputs / "encoder")
    record_checkpoint(str(inputs / "recorded"), load_splits(str(inputs / "texts.csv")))


def trial(number: int, seed: int, kinds: list[str], inputs: Path, out: Path) -> dict[str, Any]:
    """Disturb one command once; return what was done and what was wrong."""
    rng = Random(f"{seed} {number}")
    how, name = kinds[number % len(kinds)], [*COMMANDS][number // len(kinds) % len(COMMANDS)]
    known = json.loads((inputs / f"{name}.json").read_text())
    here = out / f"trial-{number}"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    after = rng.uniform(0, known["seconds"])
    if how == "kill":
        faults = kill(name, here, inputs, after, rng) + half_written(here)
        faults += again(name, here, inputs)
    else:
        faults = fill(name, here, inputs, known["mb"], rng)
    if not faults:
        shutil.rmtree(here, ignore_errors=True)
    return {"number": number, "how": how, "command": name, "after": after, "faults": faults}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "kills", metavar="DIR")
    parser.add_argument("--trials", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    kinds = ["kill", "full disk"]
    if os.geteuid() != 0:
        print("full disks are left out: only root may mount a small one")
        kinds.remove("full disk")
    out = options.out.absolute()
    write_inputs(out / "inputs")
    for name in COMMANDS:
        undisturbed(name, out / "inputs")
    results = out / f"trials-{options.seed}.jsonl"
    results.touch()
    done = {each["number"]: each for each in map(json.loads, results.read_text().splitlines())}
    for number in range(options.trials):
        if number not in done:
            done[number] = trial(number, options.seed, kinds, out / "inputs", out)
            with results.open("a") as file:
                file.write(json.dumps(done[number]) + "\n")
            print(done[number], flush=True)
    counted = Counter((each["command"], each["how"]) for each in done.values())
    wrong = Counter((each["command"], each["how"]) for each in done.values() if each["faults"])
    print("| command | how | trials | with a fault |\n|---|---|---:|---:|")
    for (name, how), count in sorted(counted.items()):
        print(f"| `{name}` | {how} | {count} | {wrong[name, how]} |")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
