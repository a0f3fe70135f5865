"""A hub id is as good as a folder: pinned, cached, and what is wrong with it is said.

The hub is one on loopback, which HF_ENDPOINT names; the commands are run as a user runs them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.dataset import Dataset
from data.readers import read
from data.splits import split
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs
from suites.selftest import synthetic
from suites.selftest.hub_server import Hub, commit, hub

torch = pytest.importorskip("torch", reason="training needs PyTorch; tox -e selftest installs it")

ROOT = Path(__file__).parents[3]
# Several commands in one process: PyTorch takes seconds to import.
COMMANDS = """
import contextlib, io, json, sys
from fit import main
for argv in json.load(sys.stdin):
    sys.argv, said = ["models", *argv], io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(argv)
    print(json.dumps([status, said.getvalue()]))
"""
OPEN = """
import json, sys
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.hub import locate
for source in json.load(sys.stdin):
    try:
        found = open_checkpoint(source) if "judged" in source else locate(source)
        name = found.name if "judged" not in source else found.reference_outputs().name
        print(json.dumps([0, f"{name} {found.path}"]))
    except ValueError as error:
        print(json.dumps([2, str(error)]))
"""
# Of each command: exit status, and what it said.
Said = dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the hub has: an encoder in two revisions, classifiers with and without safetensors."""
    root = tmp_path_factory.mktemp("hub")
    synthetic.write_bert(root / "org/encoder/main", fillers=10)
    encoder = synthetic.write_bert(root / "org/encoder/v1")
    for name in ("gated", "half", "never"):
        shutil.copytree(encoder, root / "org" / name / "main")
    judged = synthetic.write_bert(root / "org/judged/main", synthetic.NAMES)
    (judged / "README.md").write_text("not a part of a checkpoint")
    pickled = Path(shutil.copytree(judged, root / "org/pickled/main"))
    _pickle(pickled)
    return root


def _pickle(folder: Path) -> None:
    """The folder as older repositories are: weights in PyTorch's own format."""
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.fixture(scope="module")
def server(served: Path) -> Iterator[Hub]:
    with hub(served) as running:
        running.gated = {"org/gated"}
        running.broken = {"org/half/model.safetensors": 99, "org/encoder/model.safetensors": 1}
        yield running


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a user works: the texts, the cache and what the commands write."""
    folder = tmp_path_factory.mktemp("workplace")
    synthetic.write_dataset(folder / "texts.csv")
    return folder


def _run(script: str, jobs: dict[str, object], place: Path, **variables: str) -> Said:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("HF_")},
        "PYTHONPATH": str(ROOT),
        "HF_HOME": str(place / "cache"),
        **variables,
    }
    run = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(list(jobs.values())),
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    outputs = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("[")]
    return dict(zip(jobs, map(tuple, outputs), strict=True))


def _finetune(source: str, out: str) -> list[str]:
    return ["finetune", source, "--dataset", "texts.csv", "--epochs", "0.5", "--out", out]


@pytest.fixture(scope="module")
def said(server: Hub, workplace: Path) -> Said:
    """What the commands say while the hub can be reached."""
    record = ["record", "--dataset", "texts.csv"]
    jobs = {
        "gated": _finetune("org/gated", "bad"),
        "missing": _finetune("org/mising", "bad"),
        "no id": _finetune("not/an/id", "bad"),
        "no revision": _finetune("org/encoder@v2", "bad"),
        "half": _finetune("org/half", "bad"),
        "pinned": _finetune("org/encoder@v1", "pinned"),
        "no folder": [*record, "org/judged"],
        "judged": [*record, "org/judged", "--out", "judged"],
        "pickled": [*record, "org/pickled", "--out", "pickled"],
        "no head": [*record, "org/encoder", "--out", "bad"],
    }
    return _run(COMMANDS, dict(jobs), workplace, HF_ENDPOINT=server.url)


@pytest.fixture(scope="module")
def offline(said: Said, workplace: Path) -> Said:
    """What they say of the same cache later, when there is no hub."""
    jobs = {
        "cached": _finetune("org/encoder@v1", "again"),
        "not cached": _finetune("org/never", "bad"),
        "half cached": _finetune("org/half", "bad"),
    }
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    return _run(COMMANDS, dict(jobs), workplace, **nobody)


def test_a_hub_id_is_fine_tuned_at_the_revision_asked_for(said: Said, workplace: Path) -> None:
    """And the reference outputs say which commit it was."""
    status, output = said["pinned"]
    assert status == 0, output
    made = open_checkpoint(str(workplace / "pinned"))
    assert made.config["vocab_size"] == 73, "that is not the encoder of revision v1"
    provenance = made.reference_outputs().provenance
    assert provenance["checkpoint"] == f"org/encoder@{commit('org/encoder', 'v1')}"
    assert "models finetune org/encoder@v1" in provenance["command"]


def test_a_download_that_breaks_off_once_goes_on(said: Said, server: Hub) -> None:
    assert said["pinned"][0] == 0
    assert server.broken["org/encoder/model.safetensors"] == 0, "it never broke off"


def test_the_cache_serves_without_a_hub(offline: Said, workplace: Path) -> None:
    status, output = offline["cached"]
    assert status == 0, output
    first, again = (
        ReferenceOutputs.load(workplace / name / "reference_outputs.json")
        for name in ("pinned", "again")
    )
    assert again.provenance["checkpoint"] == first.provenance["checkpoint"]
    assert again.logits == first.logits


@pytest.mark.parametrize(
    ("what", "does"),
    [
        ("gated", "org/gated: no such folder, and on the hub it is gated: ask for access at"),
        ("gated", "log in with `hf auth login`"),
        ("missing", "has no such model, or it is private: check the id"),
        ("no id", "not a hub id (org/name, or org/name@REVISION)"),
        ("no revision", "the hub has no revision 'v2' of it: check the branch, tag or commit"),
        ("half", "broke off (RemoteProtocolError"),
        ("half", "run this again, files that arrived complete are kept"),
        ("no folder", "say where: python fit.py record org/judged@"),
        ("no head", "no classification head; fine-tune it on these texts first"),
    ],
)
def test_what_the_hub_does_not_give_is_told(
    said: Said, workplace: Path, what: str, does: str
) -> None:
    status, output = said[what]
    assert status == 2, output
    assert does in output
    assert "Traceback" not in output
    assert not (workplace / "bad").exists(), "nothing was made, and yet it was written"


@pytest.mark.parametrize("what", ["not cached", "half cached"])
def test_offline_and_not_in_the_cache_is_told(offline: Said, what: str) -> None:
    status, output = offline[what]
    assert status == 2, output
    assert "HF_HUB_OFFLINE is set, and not all of it is in the cache" in output
    assert "unset it" in output


def test_a_hub_that_does_not_answer_is_told(said: Said, workplace: Path) -> None:
    jobs = {name: f"org/{name}" for name in ("never", "judged")}
    told = _run(OPEN, dict(jobs), workplace, HF_ENDPOINT="http://127.0.0.1:9")
    status, output = told["never"]
    assert status == 2
    assert "the hub (http://127.0.0.1:9) does not answer" in output
    assert "check the network and HF_ENDPOINT" in output
    assert "no reference outputs" in told["judged"][1], "it is in the cache, and needs no hub"


def test_a_half_download_is_completed_by_the_same_command(
    said: Said, server: Hub, workplace: Path
) -> None:
    server.broken.clear()
    status, output = _run(OPEN, {"half": "org/half"}, workplace, HF_ENDPOINT=server.url)["half"]
    assert status == 0, output
    folder = Path(output.split()[-1])
    whole = server.root / "org/half/main/model.safetensors"
    assert (folder / whole.name).read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("what", ["judged", "pickled"])
def test_a_hub_id_without_a_card_is_judged_from_its_recorded_copy(
    said: Said, workplace: Path, what: str
) -> None:
    """Of what is no safetensors, the copy is."""
    status, output = said[what]
    assert status == 0, output
    copy = open_checkpoint(str(workplace / what))
    copy.weights()
    reference_outputs = copy.reference_outputs()
    reference_outputs.require(_evaluation(workplace), copy.path)
    assert reference_outputs.name == what
    assert (
        reference_outputs.provenance["checkpoint"] == f"org/{what}@{commit(f'org/{what}', 'main')}"
    )
    assert f"# {what}\n" in (copy.path / "README.md").read_text(), "its own, not the hub's"


def _evaluation(workplace: Path) -> Dataset:
    return split(read(str(workplace / "texts.csv"))).evaluation


def test_the_error_of_a_missing_card_is_the_command_that_records_it(
    said: Said, server: Hub, workplace: Path
) -> None:
    told = _run(OPEN, {"judged": "org/judged@main"}, workplace, HF_ENDPOINT=server.url)["judged"]
    assert told[0] == 2
    sha = commit("org/judged", "main")
    assert f"python fit.py record org/judged@{sha} --out DIR" in told[1]


def test_a_hub_id_with_a_card_is_judged(
    said: Said, server: Hub, served: Path, workplace: Path
) -> None:
    shutil.copytree(workplace / "judged", served / "org/judged/v2")
    told = _run(OPEN, {"judged": "org/judged@v2"}, workplace, HF_ENDPOINT=server.url)["judged"]
    assert told[0] == 0, told[1]
