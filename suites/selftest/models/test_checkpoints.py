"""Reference outputs, checkpoints and model files: one that is damaged, edited or of something else
is refused, with what to type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.dataset import Dataset
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.contents import inspect
from models.errors import CheckpointError, ModelFileError, ReferenceOutputsError
from models.size_reference import reference_bytes

NAMES = ("negative", "neutral", "positive")
SAMPLES = Dataset("made up", ("good", "bad", "so so"), (2, 0, 1), NAMES)

# Reference outputs


@pytest.fixture
def reference_outputs(tmp_path: Path) -> ReferenceOutputs:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "tokenizer.json").write_text("words")
    return ReferenceOutputs.of(
        tmp_path,
        name="made up",
        parameters=3,
        dataset=SAMPLES,
        logits=[[0.0, 1.0, 2.0], [3.0, 1.0, 2.0], [0.0, 1.0, 0.5]],
        provenance={},
    )


def test_a_card_comes_back_as_it_was(reference_outputs: ReferenceOutputs, tmp_path: Path) -> None:
    reference_outputs.save(tmp_path / "reference_outputs.json")
    again = ReferenceOutputs.load(tmp_path / "reference_outputs.json")
    assert again == reference_outputs
    assert again.predictions == (2, 0, 1)
    assert again.size_bytes == len(b"weights")
    again.require(SAMPLES, tmp_path)


def test_an_edited_card_is_refused(reference_outputs: ReferenceOutputs, tmp_path: Path) -> None:
    file = tmp_path / "reference_outputs.json"
    reference_outputs.save(file)
    body = json.loads(file.read_text())
    body["predictions"][0] = 0
    file.write_text(json.dumps(body))
    with pytest.raises(ReferenceOutputsError, match="edited"):
        ReferenceOutputs.load(file)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"schema": 99, "sha256": ""}'])
def test_a_file_that_is_no_card_is_told(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "reference_outputs.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ReferenceOutputsError, match=rf"python fit\.py record {tmp_path}"):
        ReferenceOutputs.load(file)


def test_a_card_of_other_tweets_labels_or_weights_is_refused(
    reference_outputs: ReferenceOutputs, tmp_path: Path
) -> None:
    others = Dataset("made up", ("good", "bad", "so SO"), (2, 0, 1), NAMES)
    with pytest.raises(ReferenceOutputsError, match="other texts"):
        reference_outputs.require(others)
    with pytest.raises(ReferenceOutputsError, match="labels"):
        reference_outputs.require(Dataset("made up", SAMPLES.texts, SAMPLES.labels, NAMES[::-1]))
    for file in ("model.safetensors", "tokenizer.json"):
        before = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(b"other")
        with pytest.raises(ReferenceOutputsError, match=f"another {file}"):
            reference_outputs.require(SAMPLES, tmp_path)
        (tmp_path / file).write_bytes(before)


# Checkpoints


def _checkpoint(folder: Path, **changes: object) -> Path:
    config = {
        "model_type": "mobilebert",
        "architectures": ["MobileBertForSequenceClassification"],
        "vocab_size": 2,
        "hidden_size": 4,
        "num_hidden_layers": 0,
        "max_position_embeddings": 128,
        "intermediate_size": 4,
        "classifier_activation": False,
        "num_attention_heads": 1,
        "id2label": {"0": "no", "1": "yes"},
    }
    (folder / "config.json").write_text(json.dumps(config | changes))
    (folder / "model.safetensors").write_bytes(b"\0" * 4)
    words = {"[UNK]": 0, "a": 1}
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "model": {
                    "type": "WordPiece",
                    "unk_token": "[UNK]",
                    "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100,
                    "vocab": words,
                },
            }
        )
    )
    return folder


def test_a_truncated_safetensors_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not whole"):
        open_checkpoint(str(_checkpoint(tmp_path))).weights()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architectures": ["MobileBertModel"]}, r"python fit\.py finetune"),
        ({"architectures": None}, "without a classification head"),
        ({"model_type": "gpt2"}, "there is an architecture for"),
        ({"vocab_size": 30522}, "the tokenizer it was trained with"),
        ({"use_bottleneck_attention": True}, "use_bottleneck_attention = True"),
        ({"trigram_input": False}, "trigram_input = False"),
        ({"problem_type": "multi_label_classification"}, "judged are heads that choose one"),
        ({"problem_type": "regression"}, "judged are heads that choose one"),
        ({"id2label": {"0": "LABEL_0"}}, "judged are heads that choose one"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, "--labels a,b"),
        ({"id2label": None}, "has no id2label; .* --labels a,b"),
    ],
)
def test_a_checkpoint_at_fault_is_told(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(str(_checkpoint(tmp_path, **changes)))


def test_a_checkpoint_without_its_tokenizer_is_told(tmp_path: Path) -> None:
    (_checkpoint(tmp_path) / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        open_checkpoint(str(tmp_path))


def test_neither_a_folder_nor_a_hub_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="no such folder"):
        open_checkpoint("no/such/checkpoint")


def test_bert_large_is_counted_as_its_authors_count_it() -> None:
    assert reference_bytes(3)["weights"] == 4 * 335_144_963
    assert reference_bytes(3)["training_checkpoint"] == 12 * 335_144_963


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\0\0\0TFL3" + b"\0" * 40])
def test_what_is_no_flatbuffer_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(ModelFileError):
        inspect(tmp_path / "model.tflite")
