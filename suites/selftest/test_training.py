"""Training writes a checkpoint that can be judged and its card, and goes on when killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.card import Card
from models.checkpoint import open_checkpoint
from models.errors import CheckpointError
from tweets.corpus import Corpus
from tweets.splits import Splits, split

torch = pytest.importorskip("torch", reason="training needs PyTorch; tox -e selftest installs it")

from models import training  # noqa: E402

NAMES = ("negative", "neutral", "positive")
WORDS = {
    "negative": "awful bad broken",
    "neutral": "today report says",
    "positive": "great love it",
}
HP = training.Hyperparameters(epochs=2, learning_rate=5e-3, batch_size=16)


@pytest.fixture(scope="module")
def splits() -> Splits:
    """Made-up tweets that a tiny model can learn: the words tell the class."""
    rng = np.random.default_rng(0)
    texts, labels = [], []
    for i in range(400):
        label = i % 3
        filler = " ".join(f"w{n}" for n in rng.integers(0, 60, 6))
        texts.append(f"{WORDS[NAMES[label]]} {filler} n{i}")
        labels.append(label)
    return split(Corpus("made up", tuple(texts), tuple(labels), NAMES))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny BERT without a head, as a hub gives a pre-trained one."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *" ".join(WORDS.values()).split()]
    words += [f"w{n}" for n in range(60)]
    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder = tmp_path_factory.mktemp("encoder")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=128,
        )
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


@pytest.fixture(scope="module")
def tuned(encoder: str, splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tuned"
    training.finetune(encoder, splits, out, HP)
    return out


def test_a_bare_encoder_is_refused_naming_the_training_command(encoder: str) -> None:
    with pytest.raises(CheckpointError, match=f"python -m models finetune {encoder}"):
        open_checkpoint(encoder)


def test_finetuning_learns_and_records(tuned: Path, splits: Splits) -> None:
    checkpoint = open_checkpoint(str(tuned))
    card = Card.load(tuned / "card.json")
    card.require(splits.evaluation, checkpoint.path)
    assert checkpoint.label_names == NAMES
    right = np.mean(np.array(card.predictions) == np.array(splits.evaluation.labels))
    assert right > 0.9, "the words tell the class; it learned nothing"
    assert card.provenance["hyperparameters"]["epochs"] == 2
    assert splits.evaluation.checksum() in card.provenance["splits"]["evaluation"]


def test_a_finished_training_is_not_begun_again(
    encoder: str, tuned: Path, splits: Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest training checkpoint that was written whole is where it goes on."""
    before = Card.load(tuned / "card.json").logits
    half = tuned / "training" / "checkpoint-99999"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    training.finetune(encoder, splits, tuned, HP)
    said = capsys.readouterr().out
    assert "resuming from" in said
    assert "99999" not in said
    assert Card.load(tuned / "card.json").logits == before


def test_a_teacher_of_other_labels_is_refused(tuned: Path, splits: Splits, tmp_path: Path) -> None:
    for file in tuned.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    config: dict[str, Any] = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {"0": "positive", "1": "neutral", "2": "negative"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="fine-tune the teacher on these tweets first"):
        training.distil(str(tmp_path), splits, tmp_path / "out", HP)


def test_distillation_pulls_the_student_to_its_teacher(tuned: Path) -> None:
    """The loss falls on one batch: logits, hidden states and labels all teach."""
    from transformers import AutoModelForSequenceClassification

    teacher = AutoModelForSequenceClassification.from_pretrained(tuned, dtype=torch.float32)
    student = training.fresh_mobilebert(_padded(teacher), NAMES)
    assert student.config.num_hidden_layers == 24
    model = training.Distillation(student, teacher, HP)
    ids = torch.randint(4, 60, (8, 10))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids),
             "labels": torch.arange(8) % 3}  # fmt: skip
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
