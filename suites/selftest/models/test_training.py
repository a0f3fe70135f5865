"""Training writes a checkpoint that can be judged and its reference outputs, and goes on when
killed."""

from __future__ import annotations

import dataclasses
import json
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from data import splits as splits_room
from data.dataset import Dataset, DatasetError
from data.metrics import score_bounds, scores
from data.splits import Splits, split
from data.unlabeled import read_unlabeled
from fit import main
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.hub import locate
from models.checkpoints.reference_outputs import ReferenceOutputs, file_sha256
from models.errors import CheckpointError, SaveError
from models.training.vocab_pruning import FIRST_WORD, numbers_in
from suites.selftest import synthetic
from suites.selftest.synthetic import NAMES

torch = pytest.importorskip("torch", reason="training needs PyTorch; tox -e selftest installs it")

from transformers import TrainerCallback  # noqa: E402

from models.training import (  # noqa: E402
    augmentation,
    checkpointing,
    class_prior,
    distillation_loss,
    loading,
    students,
)
from models.training.checkpointing import saving  # noqa: E402
from models.training.distill import distill  # noqa: E402
from models.training.finetune import finetune  # noqa: E402
from models.training.hyperparameters import Hyperparameters  # noqa: E402
from models.training.recording import record_checkpoint  # noqa: E402
from models.training.trainer import make_trainer  # noqa: E402

HP = Hyperparameters(epochs=2, learning_rate=5e-3, batch_size=16)


@pytest.fixture(scope="module")
def splits() -> Splits:
    """Made-up texts that a tiny model can learn."""
    return split(synthetic.dataset())


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny BERT without a head, as a hub gives a pre-trained one."""
    return str(synthetic.write_bert(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def tuned(encoder: str, splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tuned"
    finetune(encoder, splits, out, HP)
    return out


def test_a_bare_encoder_is_refused_naming_the_training_command(encoder: str) -> None:
    with pytest.raises(CheckpointError, match=f"python fit.py finetune {encoder}"):
        open_checkpoint(encoder)


def test_an_encoder_in_pytorch_s_own_format_is_no_classifier(tmp_path: Path) -> None:
    """Its config.json names no classes, though transformers' default configuration does."""
    from safetensors.torch import load_file

    folder = synthetic.write_bert(tmp_path / "encoder")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert not loading.is_classifier(locate(str(folder)))


def test_finetuning_learns_and_records(tuned: Path, splits: Splits) -> None:
    checkpoint = open_checkpoint(str(tuned))
    reference_outputs = ReferenceOutputs.load(tuned / "reference_outputs.json")
    reference_outputs.require(splits.evaluation, checkpoint.path)
    assert checkpoint.label_names == NAMES
    right = np.mean(np.array(reference_outputs.predictions) == np.array(splits.evaluation.labels))
    assert right > 0.9, "the words tell the class; it learned nothing"
    assert reference_outputs.provenance["hyperparameters"]["epochs"] == 2
    assert "layers" not in reference_outputs.provenance["hyperparameters"], (
        "of a student, which it is not"
    )
    assert splits.evaluation.checksum() in reference_outputs.provenance["splits"]["evaluation"]


def test_a_checkpoint_has_the_model_card_that_the_hub_shows(tuned: Path, splits: Splits) -> None:
    """Read with the hub's own library; each measure with its bounds; all that made it is said."""
    reference_outputs, shown = (
        ReferenceOutputs.load(tuned / "reference_outputs.json"),
        ModelCard.load(tuned / "README.md"),
    )
    stated = {r.metric_type: r.metric_value for r in shown.data.eval_results}
    found = scores(splits.evaluation, reference_outputs.predictions)
    assert stated == {name: round(value, 2) for name, value in found.items()}
    for name, bounds in score_bounds(splits.evaluation, reference_outputs.predictions).items():
        row = f"| {name.replace('_', ' ')} | {found[name]:.2f} |"
        assert f"{row} {bounds.lower:.2f} to {bounds.upper:.2f} |" in shown.text
    made = reference_outputs.provenance
    said = [reference_outputs.weights_sha256, made["command"], *made["splits"].values()]
    said += [f"| {name} | {version} |" for name, version in made["versions"].items()]
    said += [
        f"| {name.replace('_', ' ')} | {value} |" for name, value in made["hyperparameters"].items()
    ]
    assert [line for line in said if line not in shown.text] == []


def test_a_finished_training_is_not_begun_again(
    encoder: str, tuned: Path, splits: Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest training checkpoint that was written whole is where it goes on."""
    before = ReferenceOutputs.load(tuned / "reference_outputs.json").logits
    half = tuned / "training" / "checkpoint-99999"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    cut = tuned / "training" / "checkpoint-88888"
    cut.mkdir()
    (cut / "trainer_state.json").write_text('{"epoch": 2.0, "glob')
    finetune(encoder, splits, tuned, HP)
    said = capsys.readouterr().out
    assert re.search("resuming from .*checkpoint-36\n", said)
    assert not half.exists(), "it only takes up space"
    assert not cut.exists(), "it only takes up space"
    assert ReferenceOutputs.load(tuned / "reference_outputs.json").logits == before


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "scheduler.pt"])
def test_a_training_checkpoint_that_lost_its_end_is_passed_over(
    encoder: str,
    tuned: Path,
    splits: Splits,
    tmp_path: Path,
    file: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As a power cut leaves it; the one before it is whole."""
    out = Path(shutil.copytree(tuned, tmp_path / "out"))
    newest = checkpointing.complete_checkpoints(out)[-1]
    lost = Path(shutil.copytree(newest, newest.with_name("checkpoint-77777")))
    content = (lost / file).read_bytes()
    (lost / file).write_bytes(content[:-100])
    finetune(encoder, splits, out, HP)
    said = capsys.readouterr().out
    assert f"incomplete, and deleted: {lost}" in said
    assert f"resuming from {newest}" in said


class _SavesOften(TrainerCallback):
    """Write a training checkpoint every other step."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_save = state.global_step % 2 == 0


class _Killed(TrainerCallback):
    """End a training after five steps, as Ctrl-C does."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt


class _Diverges(TrainerCallback):
    """End a training with a weight that is no number of half precision."""

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        given["model"].classifier.weight.data[0, 0] = 1e6


def test_killed_half_way_it_ends_as_if_it_had_not_been(
    encoder: str, splits: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Optimizer, learning rate, random numbers and the texts still to come are where they were."""
    finetune(encoder, splits, tmp_path / "whole", HP, callbacks=[_SavesOften()])
    with pytest.raises(KeyboardInterrupt):
        finetune(encoder, splits, tmp_path / "cut", HP, callbacks=[_SavesOften(), _Killed()])
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    finetune(encoder, splits, tmp_path / "cut", HP)
    assert f"resuming from {tmp_path / 'cut' / 'training' / 'checkpoint-4'}" in (
        capsys.readouterr().out
    )
    whole, cut = (
        ReferenceOutputs.load(tmp_path / name / "reference_outputs.json").logits
        for name in ("whole", "cut")
    )
    assert np.allclose(whole, cut, atol=1e-3)


def test_two_runs_do_not_train_into_one_folder(
    encoder: str, splits: Splits, tmp_path: Path
) -> None:
    with (
        checkpointing.locked(tmp_path / "out"),
        pytest.raises(SaveError, match="another run trains into it; wait for it"),
    ):
        finetune(encoder, splits, tmp_path / "out", HP)


def test_a_training_that_diverged_replaces_nothing(
    encoder: str, tuned: Path, splits: Splits, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(tuned, tmp_path / "out"))
    before = file_sha256(out / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"diverged \(classifier\.weight .* lower --learning"):
        finetune(encoder, splits, out, HP, callbacks=[_Diverges()])
    assert file_sha256(out / "model.safetensors") == before


def test_a_model_card_of_before_is_kept_aside(
    encoder: str, tuned: Path, splits: Splits, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(tuned, tmp_path / "out"))
    (out / "README.md").write_text("what its maker says")
    finetune(encoder, splits, out, HP)
    assert (out / "README.md.before").read_text() == "what its maker says"
    assert ModelCard.load(out / "README.md").data.model_name == "out"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--epochs", "0"], "0: a number at least 0.001"),
        (["--epochs", "inf"], "inf: a number at least"),
        (["--learning-rate", "-1"], "-1: a number at least 0"),
        (["--batch-size", "0"], "0: a number at least 1"),
        (["--layers", "0"], "0: a number at least 1"),
        (["--layers", "two"], "invalid int value: 'two'"),
        (["--vocabulary", "500"], "500: a number at least 1000"),
        (["--varied-share", "2"], "2: a number from 0 to 1"),
    ],
)
def test_numbers_that_train_nothing_are_refused(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["distill", "teacher", "--out", "out", *given])
    assert said in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told(
    encoder: str, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "texts.csv"
    synthetic.write_dataset(dataset)
    asked = ["--dataset", str(dataset)]
    assert main(["finetune", encoder, *asked, "--out", str(dataset)]) == 2
    assert "cannot be written to" in capsys.readouterr().err
    shutil.copy(tuned / "reference_outputs.json", tmp_path)
    (tmp_path / "README.md").mkdir()
    assert main(["score", str(tmp_path), *asked, "--model-card"]) == 2
    assert "README.md: cannot be written to" in capsys.readouterr().err


def _uneven(splits: Splits, *labels: tuple[int, ...]) -> tuple[Splits, np.ndarray]:
    """The splits with six of nine train texts of the first class and one of the last, perhaps with
    so many validation and calibration texts of these classes, and minus the log of each class's
    part of train."""
    given = tuple((0, 0, 0, 0, 0, 0, 1, 1, 2)[i % 9] for i in range(len(splits.train)))
    known = dataclasses.replace(splits, train=dataclasses.replace(splits.train, labels=given))
    for name, few in zip(("validation", "calibration"), labels, strict=False):
        part = getattr(splits, name).take(range(len(few)))
        known = dataclasses.replace(known, **{name: dataclasses.replace(part, labels=few)})
    return known, -np.log(np.array(list(known.train.counts().values())) / len(given))


@pytest.mark.parametrize("lacks", [0.0, 0.7])
def test_logits_are_adjusted_as_far_as_held_out_texts_ask(
    splits: Splits, lacks: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is right but for a share of the adjustment, on the validation and calibration
    texts and no others, gets it, and no more."""
    uneven, rarity = _uneven(splits)

    def outputs(asked: Any, __: Any, dataset: Dataset, longest: int) -> list[list[float]]:
        right = np.eye(3)[list(dataset.labels)]
        if asked == "teacher":
            return right.tolist()
        lacked = lacks if dataset in (splits.validation, splits.calibration) else 0.3
        return (0.05 * right - lacked * rarity).tolist()

    monkeypatch.setattr(class_prior, "record", outputs)
    model = torch.nn.Module()
    model.classifier = torch.nn.Linear(1, 3)
    before = model.classifier.bias.detach().numpy().copy()
    teachers = [("teacher", None)]
    assert class_prior.adjust_logits_for_class_prior(model, None, uneven, teachers, 8) == lacks
    added = model.classifier.bias.detach().numpy() - before
    assert added == pytest.approx(lacks * rarity, abs=1e-5)


@pytest.mark.parametrize(
    ("teachers", "lost", "share"),
    [
        (["all right"], 3, 0.6),
        (["all right"], 5, 0.0),
        (["blind to the rare"], 3, 0.0),
        (["blind to the rare", "all right"], 3, 0.6),
    ],
)
def test_the_adjustment_counts_what_it_costs_the_other_classes(
    splits: Splits, teachers: list[str], lost: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two texts of eight become right, and ``lost`` wrong. Accuracy alone would leave all targets
    as they are, balanced accuracy alone would take all; but where the teachers do not know the rare
    either, nothing is behind there."""
    uneven, rarity = _uneven(splits, (0,) * 6, (2, 2))
    logits = np.array([[9.0, 0, 0]] * (6 - lost) + [[0.9, -9, 0]] * (lost + 2))
    said = {
        "student": logits,
        "all right": 9 * np.eye(3)[[0] * 6 + [2] * 2],  # of two teachers the one that is sure
        "blind to the rare": np.eye(3)[[0] * 8],
    }

    def outputs(asked: Any, __: Any, dataset: Dataset, longest: int) -> list[list[float]]:
        found = said[asked if isinstance(asked, str) else "student"]
        return (found[:6] if dataset is uneven.validation else found[6:]).tolist()

    assert 0.5 < 0.9 / (rarity[2] - rarity[0]) < 0.6
    monkeypatch.setattr(class_prior, "record", outputs)
    model = torch.nn.Module()
    model.classifier = torch.nn.Linear(1, 3)
    assert (
        class_prior.adjust_logits_for_class_prior(
            model, None, uneven, [(t, None) for t in teachers], 8
        )
        == share
    )


def test_bfloat16_asks_for_no_gpu(tuned: Path, splits: Splits, tmp_path: Path) -> None:
    found = locate(str(tuned))
    tokenizer = loading.read_tokenizer(found)
    model = loading.read_classifier(found, tokenizer)
    trainer = make_trainer(model, tokenizer, splits, tmp_path / "out", HP, longest=8, bfloat16=True)
    assert trainer.args.bf16


def test_a_teacher_of_other_labels_is_refused(encoder: str, splits: Splits, tmp_path: Path) -> None:
    teacher = str(synthetic.write_bert(tmp_path / "teacher", ("bad", "fair", "good")))
    with pytest.raises(CheckpointError, match="fine-tune the teacher on these texts first"):
        distill([teacher], splits, tmp_path / "out", HP)
    with pytest.raises(CheckpointError, match=f"python fit.py finetune {encoder}"):
        distill([encoder], splits, tmp_path / "out", HP)
    assert not (tmp_path / "out").exists()


def test_teachers_whose_classes_have_two_orders_are_refused(splits: Splits, tmp_path: Path) -> None:
    """The mean of their probabilities would mix the classes."""
    one, two = (
        str(synthetic.write_bert(tmp_path / name, names))
        for name, names in (("one", NAMES), ("two", NAMES[::-1]))
    )
    with pytest.raises(CheckpointError, match=f"^{two}: its classes are positive.* need one order"):
        distill([one, two], splits, tmp_path / "out", HP)
    assert not (tmp_path / "out").exists()


def test_a_head_whose_classes_have_another_order_is_trained_in_its_own(
    splits: Splits, tmp_path: Path
) -> None:
    """Trained in the order of the texts, it would learn each class's outputs anew."""
    folder = synthetic.write_bert(tmp_path / "head", NAMES[::-1])
    hp = dataclasses.replace(HP, learning_rate=0.0, epochs=0.1)
    recorded = finetune(str(folder), splits, tmp_path / "out", hp)
    assert recorded.label_names == NAMES[::-1]
    assert open_checkpoint(str(tmp_path / "out")).label_names == NAMES[::-1]
    untrained = record_checkpoint(str(folder), splits)
    assert np.allclose(recorded.logits, untrained.logits, atol=1e-2), "half precision"


@pytest.mark.parametrize(
    ("names", "fillers", "said"),
    [
        (NAMES, 61, "vocabulary is not this teacher's, so the two would read different texts"),
        (("bad", "good"), 60, "its classes are bad, good, those of made up are"),
    ],
)
def test_a_student_that_does_not_fit_its_teacher_is_refused(
    splits: Splits, tmp_path: Path, names: tuple[str, ...], fillers: int, said: str
) -> None:
    teacher = synthetic.write_bert(tmp_path / "teacher", NAMES)
    student = synthetic.write_bert(tmp_path / "student", names, fillers)
    with pytest.raises(CheckpointError, match=said):
        distill([str(teacher)], splits, tmp_path / "out", HP, student=str(student))
    assert not (tmp_path / "out").exists()


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def _promise_a_layer_more(folder: Path) -> None:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))


def _tokenizer_of_another(folder: Path) -> None:
    other = synthetic.write_bert(folder.with_name("other"), fillers=61)
    shutil.copy(other / "tokenizer.json", folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut, r"not a complete checkpoint \(.*not fully covered\); fetch or train it again"),
        (lambda f: (f / "model.safetensors").unlink(), "not a complete checkpoint .*no file named"),
        (lambda f: (f / "config.json").write_text("{"), "not a complete checkpoint"),
        (lambda f: (f / "config.json").unlink(), r"no config\.json"),
        (lambda f: (f / "tokenizer.json").unlink(), r"no tokenizer\.json and no vocab\.txt"),
        (_promise_a_layer_more, r"its weights have no bert\.encoder\.layer\.2"),
        (_tokenizer_of_another, "its tokenizer has 74 words, its embedding 73"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_never_trained_on(
    splits: Splits, tmp_path: Path, damage: Any, said: str
) -> None:
    """transformers fills in for most of these without a word that stops it."""
    folder = synthetic.write_bert(tmp_path / "encoder")
    damage(folder)
    with pytest.raises(CheckpointError, match=said):
        finetune(str(folder), splits, tmp_path / "out", HP)
    assert not (tmp_path / "out").exists()


def test_a_head_of_other_classes_is_refused(splits: Splits, tmp_path: Path) -> None:
    """By `finetune` and by `record`, and the reference outputs that is there stays."""
    folder = synthetic.write_bert(tmp_path / "two", ("bad", "good"))
    with pytest.raises(CheckpointError, match="start from the encoder that it was made of"):
        finetune(str(folder), splits, tmp_path / "out", HP)
    (folder / "reference_outputs.json").write_text("the last good one")
    with pytest.raises(DatasetError, match=r"the checkpoint's are bad, good; .*option labels="):
        record_checkpoint(str(folder), splits)
    assert (folder / "reference_outputs.json").read_text() == "the last good one"


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_card_is_not_recorded_beside_what_cannot_be_judged(
    tuned: Path, splits: Splits, tmp_path: Path, file: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tuned, folder, ignore=shutil.ignore_patterns("training"))
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=f"record {folder} --out DIR"):
        record_checkpoint(str(folder), splits)


def test_an_edited_card_is_recorded_again(tuned: Path, splits: Splits, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tuned, folder, ignore=shutil.ignore_patterns("training"))
    (folder / "reference_outputs.json").write_text("{}")
    assert record_checkpoint(str(folder), splits) == ReferenceOutputs.load(
        folder / "reference_outputs.json"
    )


def test_a_student_of_a_teacher_with_a_narrower_embedding(tuned: Path) -> None:
    """It begins with as many components as there are."""
    teacher = loading.read_classifier(found := locate(str(tuned)), loading.read_tokenizer(found))
    student = students.fresh_mobilebert(teacher, NAMES, 2)
    known = teacher.get_input_embeddings().weight.detach()
    table = student.get_input_embeddings().weight.detach()
    assert known.shape[1] < table.shape[1]
    theirs, ours = (torch.pdist(x[1:]) for x in (known, table[:, : known.shape[1]]))
    ratio = ours / theirs
    assert ratio.std() < 1e-3 * ratio.mean(), "turned and scaled alone"


def test_a_model_card_that_is_there_is_left_as_it_is(
    tuned: Path, splits: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever made the checkpoint may have written it."""
    folder = tmp_path / "copy"
    shutil.copytree(tuned, folder, ignore=shutil.ignore_patterns("training"))
    (folder / "README.md").write_text("what its maker says")
    record_checkpoint(str(folder), splits)
    assert (folder / "README.md").read_text() == "what its maker says"
    assert "README.md is left as it is" in capsys.readouterr().out
    (folder / "README.md").unlink()
    record_checkpoint(str(folder), splits)
    assert ModelCard.load(folder / "README.md").data.model_name == folder.name


@contextmanager
def _no_file_longer_than(size: int) -> Iterator[None]:
    """What is longer is cut off there and the write fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "said", ["[enforce fail at inline_container.cc:668]", "basic_ios::clear: iostream error"]
)
def test_a_file_that_pytorch_could_not_write_is_told(said: str, tmp_path: Path) -> None:
    """As it does on a full disk, without an error number."""
    with (
        pytest.raises(SaveError, match=r"could not write a complete file; .* MB are free"),
        saving(tmp_path / "out"),
    ):
        raise RuntimeError(said)


def test_no_space_left_loses_nothing(
    encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the training checkpoint nor the checkpoint of a former run; and it goes on."""
    out, training_to = tmp_path / "out", tmp_path / "out" / "training"
    synthetic.write_dataset(tmp_path / "texts.csv")

    def run(epochs: str) -> tuple[int, str]:
        status = main(
            [
                "finetune",
                encoder,
                "--dataset",
                str(tmp_path / "texts.csv"),
                "--epochs",
                epochs,
                "--out",
                str(out),
            ]
        )
        said = capsys.readouterr()
        return status, said.out + said.err

    def whole() -> dict[str, str]:
        return {file.name: file_sha256(file) for file in out.iterdir() if file.is_file()}

    assert run("1")[0] == 0
    former, kept = whole(), next(training_to.glob("checkpoint-*"))
    for epochs in ("2", "1"):  # while it trains; when all that is left is the final checkpoint
        with _no_file_longer_than(30_000):
            status, said = run(epochs)
        assert status == 2, said
        assert "cannot be written to" in said
        assert f"it goes on from {kept}" in said
        assert whole() == former
        open_checkpoint(str(out)).weights()
    status, said = run("2")
    assert status == 0, said
    assert f"resuming from {kept}" in said
    assert whole()["model.safetensors"] != former["model.safetensors"]
    open_checkpoint(str(out)).reference_outputs()
    assert not (out / "writing").exists()


def test_distillation_pulls_the_student_to_its_teacher(tuned: Path) -> None:
    """The loss falls on one batch: logits, hidden states and labels all teach."""
    from transformers import AutoModelForSequenceClassification

    teacher = AutoModelForSequenceClassification.from_pretrained(tuned, dtype=torch.float32)
    student = students.fresh_mobilebert(_padded(teacher), NAMES, 4)
    assert student.config.num_hidden_layers == 4
    model = distillation_loss.Distillation(
        student, [teacher], [torch.arange(73)], temperature=2.0, hidden_weight=1.0
    )
    ids = torch.randint(4, 60, (8, 10))
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.arange(8) % 3,
    }
    optimizer = torch.optim.AdamW(model.parameters(), 4e-4)
    losses = []
    for _ in range(6):
        loss = model(**batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert not [name for name, _ in model.named_parameters() if "teacher" in name]


def _padded(teacher: Any) -> Any:
    """The teacher's table is narrower than 128; a principal component more is a column of zeros."""

    class Wide:
        config = teacher.config

        @staticmethod
        def get_input_embeddings() -> Any:
            table = teacher.get_input_embeddings().weight
            return torch.nn.Embedding.from_pretrained(
                torch.nn.functional.pad(table.detach(), (0, 128 - table.shape[1]))
            )

    return Wide()


def test_a_training_of_something_else_is_not_gone_on_with(
    tuned: Path, encoder: str, splits: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(tuned, out)
    before = file_sha256(out / "model.safetensors")
    other = dataclasses.replace(HP, learning_rate=HP.learning_rate / 2)
    with pytest.raises(CheckpointError, match="begun with another learning_rate: delete it"):
        finetune(encoder, splits, out, other)
    another = synthetic.write_bert(tmp_path / "another", fillers=61)
    with pytest.raises(CheckpointError, match="begun with another checkpoint: delete it"):
        finetune(str(another), splits, out, HP)
    assert file_sha256(out / "model.safetensors") == before
    moved = shutil.copytree(encoder, tmp_path / "moved")  # the same, wherever it lies
    finetune(str(moved), splits, out, HP)
    assert "resuming from" in capsys.readouterr().out


def test_varied_tweets_keep_their_neighbourhood_and_lose_their_label() -> None:
    import torch

    first, width = FIRST_WORD, 16
    table = torch.randn(first + 40, width, generator=torch.Generator().manual_seed(1))
    table[first + 1 :: 2] = table[first::2] + 0.01  # every word has a twin next to it
    near = augmentation.nearest(table, 3)
    twins = torch.arange(first, first + 40, 2)
    assert (near[twins, 0] == twins + 1).all() and (near[twins + 1, 0] == twins).all()
    assert (near >= first).all()
    model = torch.nn.Module()
    dataset = [{"input_ids": [first] * 20, "attention_mask": [1] * 20, "labels": 1}] * 64
    varied = augmentation.AugmentingCollator(_stacked, model, table, share=0.5)
    varied.neighbours = near[:, :1]
    torch.manual_seed(0)
    found = varied(dataset)
    changed = (found["input_ids"] != first).any(1)
    assert (found["input_ids"][changed].unique() == torch.tensor([first, first + 1])).all()
    assert 16 < int(changed.sum()) < 48
    assert (found["labels"][changed] == distillation_loss.UNLABELED).all()
    assert (found["labels"][~changed] == 1).all()
    model.eval()
    assert (varied(dataset)["input_ids"] == first).all()


def test_every_other_varied_tweet_ends_as_another() -> None:
    dataset = [
        {"input_ids": [i] * 5 + [i + 100] * 5, "attention_mask": [1] * 10, "labels": 1}
        for i in range(64)
    ]
    table = torch.eye(FIRST_WORD + 9)  # no piece before FIRST_WORD becomes another
    varied = augmentation.AugmentingCollator(_stacked, torch.nn.Module(), table, share=0.5)
    torch.manual_seed(0)
    found = varied(dataset)
    starts, ends = found["input_ids"][:, :5], found["input_ids"][:, 5:] - 100
    assert (starts == torch.arange(64)[:, None]).all()
    joined = (ends != starts).all(1)
    assert 4 < int(joined.sum()) < 32
    assert (ends[joined] == starts.roll(1, 0)[joined]).all(), "with the end of the one before"
    assert (found["labels"][joined] == distillation_loss.UNLABELED).all()


def _stacked(dataset: list[dict[str, Any]]) -> Any:
    return {name: torch.tensor([tweet[name] for tweet in dataset]) for name in dataset[0]}


def _mobilebert(folder: Path, teacher: Path, layers: int) -> Path:
    """A student of that teacher's vocabulary, tiny and untrained."""
    from transformers import AutoTokenizer, MobileBertConfig, MobileBertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(teacher)
    config = MobileBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        embedding_size=16,
        intra_bottleneck_size=16,
        true_hidden_size=16,
        intermediate_size=32,
        num_attention_heads=2,
        num_hidden_layers=layers,
        num_feedforward_networks=2,
        max_position_embeddings=128,
        classifier_activation=False,
        id2label=dict(enumerate(NAMES)),
        label2id={name: i for i, name in enumerate(NAMES)},
    )
    torch.manual_seed(0)
    MobileBertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _of_depth(folder: Path, layers: int) -> Any:
    model = loading.read_classifier(locate(str(folder)), [])
    students.resize_depth(model, layers)
    return model.eval()


def test_a_shallower_student_keeps_evenly_spaced_layers(tuned: Path, tmp_path: Path) -> None:
    student = _mobilebert(tmp_path / "deep", tuned, 6)
    deep = _of_depth(student, 6).base_model.encoder.layer
    shallow = _of_depth(student, 4)
    assert shallow.config.num_hidden_layers == 4
    for i, of in enumerate((0, 2, 3, 5)):
        kept = shallow.base_model.encoder.layer[i].state_dict()
        assert all(torch.equal(kept[name], x) for name, x in deep[of].state_dict().items())


def test_a_deeper_student_begins_with_the_same_answers_and_learns_in_every_layer(
    tuned: Path, tmp_path: Path
) -> None:
    student = _mobilebert(tmp_path / "shallow", tuned, 2)
    shallow, deep = _of_depth(student, 2), _of_depth(student, 5)
    assert deep.config.num_hidden_layers == len(deep.base_model.encoder.layer) == 5
    ids = torch.randint(4, 60, (8, 10))
    mask = torch.ones_like(ids)
    mask[:4, 6:] = 0
    before = shallow(ids, mask).logits
    assert before.std() > 0.001, "it tells no text from another: equal answers show nothing"
    outputs = deep(ids, mask)
    assert torch.equal(before, outputs.logits)
    torch.nn.functional.cross_entropy(outputs.logits, torch.arange(8) % 3).backward()
    for layer in deep.base_model.encoder.layer:
        assert layer.output.bottleneck.dense.weight.grad.abs().max() > 0


def test_only_a_mobilebert_is_deepened(tuned: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be deepened to 3; say --layers 2"):
        _of_depth(tuned, 3)


def test_several_teachers_answer_with_the_mean_of_their_probabilities(tuned: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    teachers = [
        AutoModelForSequenceClassification.from_pretrained(tuned, dtype=torch.float32)
        for _ in range(2)
    ]
    ids = torch.randint(4, 60, (8, 10))
    with torch.no_grad():
        teachers[1].classifier.weight.neg_()
        taught = sum(torch.softmax(each(ids).logits / 2, -1) for each in teachers) / 2
    student = students.fresh_mobilebert(_padded(teachers[0]), NAMES, 24)
    model = distillation_loss.Distillation(
        student, teachers, [torch.arange(73)] * 2, temperature=2.0, hidden_weight=0.0
    )
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    nothing = torch.full((8,), distillation_loss.UNLABELED)
    loss = model(**batch, labels=nothing)["loss"]
    own = torch.log_softmax(student(ids).logits / 2, -1)
    divergence = (taught * (taught.log() - own)).sum(-1).mean()
    assert loss.item() == pytest.approx(4 * divergence.item(), rel=1e-3)


def test_hidden_states_and_labels_teach_as_documented(tuned: Path, tmp_path: Path) -> None:
    """Each of the teacher's layers, normalised, is met by the student's of the same depth, at real
    tokens alone; the labels count half."""
    teacher = loading.read_classifier(locate(str(tuned)), [])
    student = loading.read_classifier(locate(str(_mobilebert(tmp_path / "student", tuned, 4))), [])
    model = distillation_loss.Distillation(
        student, [teacher], [torch.arange(73)], temperature=2.0, hidden_weight=1.0
    )
    for parameter in student.parameters():  # so that its layers differ
        parameter.data += 0.05 * torch.randn_like(parameter)
    ids, mask = torch.randint(4, 60, (8, 10)), torch.ones(8, 10, dtype=torch.long)
    mask[:4, 6:] = 0
    nothing, labels = torch.full((8,), distillation_loss.UNLABELED), torch.arange(8) % 3
    asked = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True}
    with torch.no_grad():
        with_hidden = model(ids, mask, nothing)["loss"]
        model.hidden_weight = 0.0
        without = model(ids, mask, nothing)["loss"]
        labelled = model(ids, mask, labels)["loss"]
        own, theirs = student(**asked), teacher(**asked)
        distances = []
        for i, (mine, its) in enumerate(((2, 1), (4, 2))):  # 0: the embeddings
            target = theirs.hidden_states[its]
            target = (target - target.mean(-1, keepdim=True)) / target.std(
                -1, correction=0, keepdim=True
            )
            gap = model.projections[i](own.hidden_states[mine]) - target
            distances.append((gap**2)[mask.bool()].mean())
        right = torch.log_softmax(own.logits, -1)[torch.arange(8), labels]
    assert (with_hidden - without).item() == pytest.approx(sum(distances).item() / 2, rel=2e-5)
    assert (labelled - without).item() == pytest.approx(-right.mean().item() / 2, rel=1e-3)


def test_teachers_go_where_the_student_goes(tuned: Path, tmp_path: Path) -> None:
    """To a GPU, say; the device "meta" is one that every machine has."""
    teacher = loading.read_classifier(locate(str(tuned)), [])
    student = loading.read_classifier(locate(str(_mobilebert(tmp_path / "student", tuned, 2))), [])
    model = distillation_loss.Distillation(
        student, [teacher], [torch.arange(73)], temperature=2.0, hidden_weight=1.0
    ).to("meta")
    assert {x.device.type for x in (*model.parameters(), *teacher.parameters())} == {"meta"}
    ids = torch.zeros((2, 10), dtype=torch.long, device="meta")
    student.eval()
    assert teacher(ids).logits.device.type == "meta"
    assert not [name for name, _ in model.named_parameters() if "teacher" in name]


def test_a_table_padded_for_speed_is_cut_to_the_words(
    tuned: Path, splits: Splits, tmp_path: Path
) -> None:
    """Else the judge, who counts both, would refuse the student after hours."""
    teacher = loading.read_classifier(
        locate(str(tuned)), tokenizer := loading.read_tokenizer(locate(str(tuned)))
    )
    teacher.resize_token_embeddings(80)
    teacher.save_pretrained(tmp_path / "teacher")
    tokenizer.save_pretrained(tmp_path / "teacher")
    hp = dataclasses.replace(HP, layers=1, epochs=0.2)
    distill([str(tmp_path / "teacher")], splits, tmp_path / "out", hp)
    assert open_checkpoint(str(tmp_path / "out")).config["vocab_size"] == 73


def test_texts_are_cut_at_the_positions(splits: Splits, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    folder = synthetic.write_bert(tmp_path / "short")
    config = BertConfig.from_pretrained(folder)
    config.max_position_embeddings = 10
    BertModel(config).save_pretrained(folder)
    outputs = finetune(str(folder), splits, tmp_path / "out", dataclasses.replace(HP, epochs=0.1))
    assert outputs.lengths[-1] == 10
    with pytest.raises(CheckpointError, match="end with 10 or less"):
        finetune(str(folder), splits, tmp_path / "more", HP, lengths=(8, 16))


def test_a_fine_tuned_checkpoint_keeps_the_pieces_it_is_told_to(
    splits: Splits, tmp_path: Path
) -> None:
    folder, _ = synthetic.write_checkpoint(tmp_path / "roberta", "roberta")
    hp = dataclasses.replace(HP, epochs=0.1, learning_rate=0.0, vocabulary=120)
    outputs = finetune(str(folder), splits, tmp_path / "out", hp)
    assert outputs.provenance["hyperparameters"]["vocabulary"] == 120
    few, all_ = (open_checkpoint(str(path)) for path in (tmp_path / "out", folder))
    assert few.config["vocab_size"] == 120 < all_.config["vocab_size"]
    tokenizers = [loading.read_tokenizer(each.source) for each in (few, all_)]
    numbers = numbers_in(tokenizers[1], tokenizers[0])
    table = "roberta.embeddings.word_embeddings.weight"
    assert np.allclose(few.weights()[table], all_.weights()[table][numbers], atol=1e-2)


def test_only_a_bert_is_cut() -> None:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(vocab_size=73, dim=32, n_heads=2, hidden_dim=32, n_layers=2)
    with pytest.raises(CheckpointError, match="a distilbert is no student"):
        students.resize_depth(DistilBertForSequenceClassification(config), 1)


def test_a_student_of_fewer_words_reads_what_its_teacher_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tokenizer, its embedding and the numbers the teacher is given are of the same pieces."""
    dataset = [f"great love w{n} w1190 n" for n in range(1000, 1050)] * 8
    rows = [f"{text} x{i},{NAMES[i % 3]}" for i, text in enumerate(dataset)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    monkeypatch.setattr(splits_room, "SIMILARITY", 1.0)  # these differ in a word or two
    teacher = synthetic.write_bert(tmp_path / "teacher", NAMES, fillers=1200)
    student = _mobilebert(tmp_path / "student", teacher, 2)
    read: list[Any] = []
    forward = distillation_loss.Distillation.forward

    def spied(self: Any, input_ids: Any, **rest: Any) -> Any:
        hook = self.teachers[0].register_forward_pre_hook(
            lambda _, __, given: read.append((input_ids, given["input_ids"])), with_kwargs=True
        )
        try:
            return forward(self, input_ids, **rest)
        finally:
            hook.remove()

    def adjusted(model: Any, *_: Any) -> float:
        model.classifier.bias.data += torch.tensor([1.0, 2.0, 3.0])
        return 0.5

    monkeypatch.setattr(distillation_loss.Distillation, "forward", spied)
    monkeypatch.setattr("models.training.distill.adjust_logits_for_class_prior", adjusted)
    for start, out in ((student, "small"), (tmp_path / "small", "further")):
        status = main(
            [
                "distill",
                str(teacher),
                "--student",
                str(start),
                "--layers",
                "2",
                "--dataset",
                str(tmp_path / "texts.csv"),
                "--vocabulary",
                "1100",
                "--epochs",
                "1",
                "--learning-rate",
                "0",
                "--varied-share",
                "0.5",
                "--out",
                str(tmp_path / out),
            ]
        )
        assert status == 0
    small = open_checkpoint(str(tmp_path / "further"))  # refuses another number of words
    table, bias = "mobilebert.embeddings.word_embeddings.weight", "classifier.bias"
    rows_kept = small.weights()[table]
    added = small.weights()[bias] - open_checkpoint(str(student)).weights()[bias]
    assert added == pytest.approx([2, 4, 6], abs=1e-2), "once at the end of each"
    assert small.reference_outputs().provenance["logit adjustment"] == 0.5
    from transformers import AutoTokenizer

    few, all_ = (AutoTokenizer.from_pretrained(f) for f in (tmp_path / "further", teacher))
    assert len(few) == len(rows_kept) == 1100
    numbers = numbers_in(all_, few)
    assert numbers is not None
    assert numbers[:999] == list(range(999))
    known = open_checkpoint(str(student)).weights()[table]
    assert np.allclose(rows_kept, known[numbers], atol=1e-3), "half precision"
    for n in range(1000, 1050):
        assert few.decode(few(f"w{n} w1190")["input_ids"]) == f"[CLS] w{n} w1190 [SEP]"
    ids, given = read[0]
    assert few.convert_ids_to_tokens(ids[0].tolist()) == all_.convert_ids_to_tokens(
        given[0].tolist()
    )
    assert (ids != given).any(), "the same numbers: this shows nothing"


def test_unlabelled_texts_teach_and_are_not_those_of_any_split(
    tuned: Path,
    splits: Splits,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was learned from is in the reference outputs; killed, it goes on with these texts
    alone."""
    synthetic.write_dataset(tmp_path / "texts.csv")
    new = [f"{word} w1 w2 w3 w4 w{n} again" for word in ("great", "awful") for n in range(5, 30)]
    known = [splits.evaluation.texts[0].upper(), splits.train.texts[0] + " http://x.y", new[0]]
    more = tmp_path / "more.txt"
    more.write_text("\n".join([*new, *known]) + "\n\n")
    student = _mobilebert(tmp_path / "student", tuned, 4)

    def run(file: Path, epochs: str) -> tuple[int, str]:
        status = main(
            [
                "distill",
                str(tuned),
                "--student",
                str(student),
                "--layers",
                "2",
                "--dataset",
                str(tmp_path / "texts.csv"),
                "--unlabeled",
                str(file),
                "--epochs",
                epochs,
                "--out",
                str(tmp_path / "out"),
            ]
        )
        said = capsys.readouterr()
        return status, said.out + said.err

    labels: list[int] = []
    forward = distillation_loss.Distillation.forward

    def spied(self: Any, **given: Any) -> Any:
        if self.training:
            labels.extend(given["labels"].tolist())
        return forward(self, **given)

    monkeypatch.setattr(distillation_loss.Distillation, "forward", spied)
    status, said = run(more, "1")
    assert status == 0, said
    reference_outputs = ReferenceOutputs.load(tmp_path / "out" / "reference_outputs.json")
    kept = read_unlabeled([more], splits)
    assert reference_outputs.provenance["unlabeled"] == kept.description
    assert not set(known[:2]) & set(kept.texts)
    assert len(set(kept.texts)) == len(kept.texts) > 0
    checkpoint = open_checkpoint(str(tmp_path / "out"))
    assert checkpoint.config["num_hidden_layers"] == 2
    checkpoint.weights()
    assert labels.count(distillation_loss.UNLABELED) == len(kept.texts)
    assert len(labels) == len(kept.texts) + len(splits.train)
    status, said = run(more, "2")
    assert status == 0, said
    assert "resuming from" in said
    other = tmp_path / "other.txt"
    other.write_text("awful great w1 w2\n")
    status, said = run(other, "2")
    assert status == 2
    assert "begun with another unlabeled: delete it" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("", "no text left|cannot read it"),
        ("a,b\n1,2\n", "no column of texts"),
    ],
)
def test_unlabelled_files_without_texts_are_refused(
    splits: Splits, tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / ("texts.csv" if content else "texts.txt")
    if content is not None:
        file.write_text(content)
    with pytest.raises(DatasetError, match=said):
        read_unlabeled([file], splits)
