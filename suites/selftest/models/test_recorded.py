"""Reference outputs are recorded once, into the cache; the checkpoint's folder stays as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.cache import Cache
from common.checksum import file_sha256
from data.dataset import DatasetError
from data.splits import Splits, split
from models.checkpoints import recorded as recorded_outputs
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.recorded import are_of, as_accuracy_reference, recorded
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.errors import CheckpointError, ReferenceOutputsError
from suites.selftest import synthetic
from suites.selftest.synthetic import NAMES

torch = pytest.importorskip("torch", reason="recording needs PyTorch; tox -e selftest installs it")

OTHER_ORDER = ("Positive", "NEGATIVE", "neutral")


@pytest.fixture(scope="module")
def splits() -> Splits:
    return split(synthetic.dataset())


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint whose classes have another order and case than those of the texts."""
    return synthetic.write_checkpoint(tmp_path / "mine", "bert", OTHER_ORDER)[0]


def without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_outputs, "find_spec", lambda name: None)


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file_sha256(file) for file in folder.iterdir()}


def test_outputs_are_recorded_once_and_the_folder_is_untouched(
    folder: Path, splits: Splits, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)
    copy = recorded(str(folder), splits, cache)
    assert contents(folder) == before
    assert copy.path.is_relative_to(cache.root)
    assert copy.name == "mine"
    without_pytorch(monkeypatch)
    moved = shutil.copytree(folder, folder.parent / "elsewhere" / "mine")
    for same in (folder, moved):
        assert recorded(str(same), splits, cache).path == copy.path
    with pytest.raises(ReferenceOutputsError, match="no reference outputs"):
        recorded(str(folder), split(synthetic.dataset().take(range(300))), cache)


def test_outputs_are_in_the_checkpoint_s_own_order(splits: Splits, tmp_path: Path) -> None:
    folder, oracle = synthetic.write_checkpoint(tmp_path / "mine", "bert", OTHER_ORDER)
    copy = recorded(str(folder), splits, Cache(tmp_path / "cache"))
    outputs = open_checkpoint(copy.said).reference_outputs()
    evaluation = splits.evaluation.reordered(OTHER_ORDER)
    outputs.require(evaluation, copy.path)
    assert outputs.label_names == OTHER_ORDER
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    with torch.inference_mode():
        asked = tokenizer(evaluation.texts[0], return_tensors="pt")
        expected = oracle(asked["input_ids"]).logits.numpy()[0]
    assert np.allclose(outputs.logits[0], expected, atol=1e-4)


def test_without_pytorch_one_sentence_says_what_to_type(
    folder: Path, splits: Splits, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pytorch(monkeypatch)
    with pytest.raises(ReferenceOutputsError) as error:
        recorded(str(folder), splits, cache, advice="type: tox run -e judge -- mine")
    assert str(error.value) == (
        f"{folder}: no reference outputs of made up yet, and this Python has no torch and no "
        "transformers to record them; type: tox run -e judge -- mine"
    )
    assert not list((cache.root / "artifacts").glob("*"))


def test_a_checkpoint_with_outputs_of_these_texts_is_judged_as_it_is(
    folder: Path, splits: Splits, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recorded(str(folder), splits, cache).path / "reference_outputs.json"
    shutil.copy(made, folder)
    without_pytorch(monkeypatch)
    assert recorded(str(folder), splits, Cache(folder / "none")).path == folder
    assert are_of(folder, splits.evaluation)
    assert not are_of(folder, splits.calibration)


def _pickled(folder: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _wrapped(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    save_file({f"module.{n}": x for n, x in tensors.items()}, folder / "model.safetensors")


def _vocabulary_alone(folder: Path) -> None:
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)) + "\n")
    (folder / "tokenizer.json").unlink()


def _own_name(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["MyModel"]}))


@pytest.mark.parametrize(
    "edits",
    [
        (_pickled,),
        (_vocabulary_alone,),
        (_pickled, _own_name),
        (_wrapped, _pickled, _vocabulary_alone),
    ],
)
def test_what_is_not_laid_out_as_it_is_judged_is_so_in_the_copy(
    edits: tuple[Callable[[Path], None], ...], folder: Path, splits: Splits, cache: Cache
) -> None:
    for edit in edits:
        edit(folder)
    copy = open_checkpoint(recorded(str(folder), splits, cache).said)
    copy.weights()
    copy.reference_outputs().require(splits.evaluation.reordered(OTHER_ORDER), copy.path)


def test_labels_name_the_classes_of_the_copy(splits: Splits, cache: Cache, tmp_path: Path) -> None:
    names = tuple(f"LABEL_{i}" for i in range(3))
    folder, _ = synthetic.write_checkpoint(tmp_path / "mine", "bert", names)
    with pytest.raises(CheckpointError, match=r"name the classes .*: --labels a,b,c$"):
        recorded(str(folder), splits, cache)
    copy = recorded(str(folder), splits, cache, OTHER_ORDER)
    assert open_checkpoint(copy.said).label_names == OTHER_ORDER
    other = recorded(str(folder), splits, cache, NAMES)
    assert open_checkpoint(other.said).label_names == NAMES


def test_texts_of_other_classes_are_refused_before_recording(
    splits: Splits, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pytorch(monkeypatch)
    folder, _ = synthetic.write_checkpoint(tmp_path / "mine", "bert", ("bad", "good"))
    with pytest.raises(DatasetError, match="the checkpoint's are bad, good"):
        recorded(str(folder), splits, cache)


def test_as_accuracy_reference_a_checkpoint_is_named_as_itself(
    folder: Path, splits: Splits, cache: Cache
) -> None:
    found = recorded(str(folder), splits, cache)
    reference = as_accuracy_reference(found, cache)
    outputs, own = (
        ReferenceOutputs.load(path / "reference_outputs.json") for path in (reference, found.path)
    )
    assert outputs.name == "mine in PyTorch (the candidate itself)"
    assert outputs.logits == own.logits
