"""Checkpoints as they lie on hubs are opened, and their graphs answer like transformers' models.

Each is small, seeded and made here. What is not judged is refused in one sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.framing import Framing
from models.checkpoints import weights
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.hub import Source
from models.errors import CheckpointError
from suites.selftest import synthetic

torch = pytest.importorskip("torch", reason="the oracle is PyTorch; tox -e selftest installs it")
from models.tflite.tf_module import Classifier  # noqa: E402

TOLERANCE = 1e-4
LENGTH = 24
Tensors = dict[str, Any]


def _rename(change: Callable[[str], str]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        _save(folder, {change(name): value for name, value in _load(folder).items()})

    return edit


def _cast(dtype: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        _save(folder, {name: value.to(dtype) for name, value in _load(folder).items()})

    return edit


def _config(**fields: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return edit


def _load(folder: Path) -> Tensors:
    from safetensors.torch import load_file

    return dict(load_file(folder / weights.FILE))


def _save(folder: Path, tensors: Tensors, name: str = weights.FILE) -> None:
    from safetensors.torch import save_file

    save_file(tensors, folder / name)


def _gamma_beta(name: str) -> str:
    for new, old in (("LayerNorm.weight", "gamma"), ("LayerNorm.bias", "beta")):
        if name.endswith(new):
            return name.replace(new, f"LayerNorm.{old}")
    return name


def _leftovers(folder: Path) -> None:
    names = (
        "cls.predictions.bias",
        "cls.seq_relationship.weight",
        "bert.embeddings.position_ids",
        "lm_head.dense.weight",
    )
    _save(folder, _load(folder) | {name: torch.zeros(3) for name in names})


def _pad_table(folder: Path) -> None:
    tensors = _load(folder)
    (name,) = (n for n in tensors if n.endswith("word_embeddings.weight"))
    table = tensors[name]
    tensors[name] = torch.cat([table, torch.full((5, table.shape[1]), 9.0)])
    _save(folder, tensors)
    _config(vocab_size=len(tensors[name]))(folder)


def _shards(folder: Path) -> None:
    tensors = _load(folder)
    (folder / weights.FILE).unlink()
    where = {name: f"model-0000{i % 2 + 1}-of-00002.safetensors" for i, name in enumerate(tensors)}
    for file in set(where.values()):
        _save(folder, {n: t for n, t in tensors.items() if where[n] == file}, file)
    (folder / weights.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))


def _padding_in_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer

    file = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(file)
    tokenizer.enable_truncation(4, direction="left")
    tokenizer.enable_padding(length=12, direction="left", pad_id=3)
    tokenizer.save(file)


# Of each: model_type, fields of its configuration, what its author did to it, names given.
Stranger = tuple[str, dict[str, Any], Callable[[Path], None] | None, Sequence[str] | None]
STRANGERS: dict[str, Stranger] = {
    **{
        kind: (kind, {}, None, None)
        for kind in ("bert", "distilbert", "roberta", "xlm-roberta", "camembert", "electra")
    },
    "albert": ("albert", {"embedding_size": 16}, None, None),
    "electra, projected": ("electra", {"embedding_size": 16}, None, None),
    "gamma and beta": ("bert", {}, _rename(_gamma_beta), None),
    "DataParallel": ("bert", {}, _rename("module.{}".format), None),
    "torch.compile": ("roberta", {}, _rename("_orig_mod.module.{}".format), None),
    "a wrapper's attribute": ("distilbert", {}, _rename("model.{}".format), None),
    "no base prefix": ("electra", {}, _rename(lambda name: name.removeprefix("electra.")), None),
    "base prefix twice": ("bert", {}, _rename("bert.{}".format), None),
    "float16": ("bert", {}, _cast(torch.float16), None),
    "bfloat16": ("bert", {}, _cast(torch.bfloat16), None),
    "float64": ("bert", {}, _cast(torch.float64), None),
    "leftovers": ("bert", {}, _leftovers, None),
    "padded table": ("bert", {}, _pad_table, None),
    "shards": ("albert", {"embedding_size": 16}, _shards, None),
    "an architecture's own name": ("bert", {}, _config(architectures=["MyBert"]), None),
    "no architectures": ("roberta", {}, _config(architectures=None), None),
    "few positions": ("bert", {"max_position_embeddings": 40}, None, None),
    "padding in tokenizer.json": ("bert", {}, _padding_in_tokenizer, None),
    "LABEL_n": (
        "bert",
        {},
        _config(id2label={str(i): f"LABEL_{i}" for i in range(3)}),
        synthetic.NAMES,
    ),
    "id2label null": ("bert", {}, _config(id2label=None), synthetic.NAMES),
}
# Half precision is what was saved: the oracle computes with it too.
ROUNDED = ("float16", "bfloat16")


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_opened_and_answers_like_pytorch(name: str, tmp_path: Path) -> None:
    kind, fields, edit, labels = STRANGERS[name]
    folder, oracle = synthetic.write_checkpoint(tmp_path, kind, **fields)
    if edit:
        edit(folder)
    if name in ROUNDED:
        oracle = type(oracle).from_pretrained(folder, dtype=torch.float32).eval()
    checkpoint = open_checkpoint(str(folder), labels)
    assert checkpoint.label_names == synthetic.NAMES
    expected, outputs = [], []
    classifier = Classifier(checkpoint, checkpoint.lengths[-1])
    for inputs in _inputs(checkpoint.tokenizer, checkpoint.config["pad_token_id"]):
        outputs.append(classifier(**inputs)["logits"].numpy())
        tensors = {k: torch.tensor(v) for k, v in inputs.items() if k != "token_type_ids"}
        with torch.inference_mode():
            expected.append(oracle(**tensors).logits.numpy())
    spread = np.ptp(np.concatenate(expected))
    assert spread >= 1, "logits this close together would hide any mistake"
    worst = np.abs(np.concatenate(outputs) - np.concatenate(expected)).max()
    assert worst <= TOLERANCE * spread, f"worst logit {worst:.2e} away, spread {spread:.2f}"


def _inputs(tokenizer: Path, pad: int) -> list[dict[str, np.ndarray]]:
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(str(tokenizer))
    framing = Framing(encoder, pad)
    made = []
    for text in ("great", *synthetic.dataset().texts[:6]):
        ids = framing.cut(encoder.encode(text).ids, LENGTH)
        made.append(
            {
                "input_ids": np.array([framing.filled(ids, LENGTH)], np.int32),
                "attention_mask": (np.arange(LENGTH) < len(ids)).astype(np.int32)[None],
                "token_type_ids": np.zeros((1, LENGTH), np.int32),
            }
        )
    return made


def test_lengths_end_at_the_positions_of_the_checkpoint(tmp_path: Path) -> None:
    for kind, rows, expected in (("bert", 40, (24, 40)), ("roberta", 52, (24, 40, 50))):
        folder, _ = synthetic.write_checkpoint(tmp_path / kind, kind, max_position_embeddings=rows)
        assert open_checkpoint(str(folder)).lengths == expected


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"problem_type": "multi_label_classification"}, "one of two or more classes"),
        ({"problem_type": "regression"}, "one of two or more classes"),
        ({"id2label": {"0": "LABEL_0"}}, "one of two or more classes"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}, "--labels a,b,c"),
        ({"id2label": None}, "--labels a,b,c"),
        ({"architectures": ["BertForTokenClassification"]}, "without a classification head"),
        ({"vocab_size": 30522}, "the tokenizer it was trained with"),
        ({"vocab_size": 7}, "the tokenizer it was trained with"),
        ({"model_type": "deberta-v2"}, "an architecture for albert, bert, camembert"),
    ],
)
def test_what_is_not_judged_is_refused_in_one_sentence(
    fields: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder, _ = synthetic.write_checkpoint(tmp_path, "bert")
    _config(**fields)(folder)
    with pytest.raises(CheckpointError, match=said) as error:
        open_checkpoint(str(folder))
    assert "\n" not in str(error.value)


def test_labels_do_not_reorder_what_config_json_names(tmp_path: Path) -> None:
    folder, _ = synthetic.write_checkpoint(tmp_path, "bert")
    with pytest.raises(CheckpointError, match="leave it out, classes meet by name"):
        open_checkpoint(str(folder), synthetic.NAMES[::-1])
    assert open_checkpoint(str(folder), synthetic.NAMES).label_names == synthetic.NAMES


def test_labels_must_be_as_many_as_the_head_has(tmp_path: Path) -> None:
    folder, _ = synthetic.write_checkpoint(tmp_path, "bert")
    for labels in (("a", "b"), ("a", "b", "b")):
        with pytest.raises(CheckpointError, match="must name its 3 classes once each"):
            open_checkpoint(str(folder), labels)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_rename(lambda name: name.replace("layer.1", "layer.7")), "has no place in the graph"),
        (_rename(lambda name: name.replace("pooler", "cls")), "no parameter bert.pooler"),
        (lambda folder: _save(folder, _load(folder) | {"classifier.bias": torch.zeros(2)}), "says"),
    ],
)
def test_weights_of_another_model_are_refused(
    edit: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    folder, _ = synthetic.write_checkpoint(tmp_path, "bert")
    edit(folder)
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(str(folder)).weights()


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder, _ = synthetic.write_checkpoint(tmp_path, "bert")
    _shards(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no model-00002-of-00002\.safetensors"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize(
    "name", ["DataParallel", "gamma and beta", "shards", "few positions", "camembert"]
)
def test_reference_outputs_are_recorded_of_strangers(name: str, tmp_path: Path) -> None:
    from data.splits import split
    from models.training import loading
    from models.training.recording import record_checkpoint

    kind, fields, edit, _ = STRANGERS[name]
    folder, oracle = synthetic.write_checkpoint(tmp_path, kind, **fields)
    if edit:
        edit(folder)
    splits = split(synthetic.dataset())
    recorded = record_checkpoint(str(folder), splits)
    tokenizer = loading.read_tokenizer(Source(folder, str(folder), from_hub=False))
    text = tokenizer(splits.evaluation.texts[0], return_tensors="pt")
    with torch.inference_mode():
        expected = oracle(**text).logits.numpy()[0]
    assert np.allclose(recorded.logits[0], expected, atol=1e-4)
    checkpoint = open_checkpoint(str(folder))
    checkpoint.reference_outputs().require(splits.evaluation, checkpoint.path)
