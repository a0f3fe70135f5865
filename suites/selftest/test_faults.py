"""What the suite exists to catch, planted in real FlatBuffers on real runtimes, and caught."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices import operators
from devices.answers import logit_distance, require_answers
from devices.errors import LoadError, SilentlyWrongError
from devices.gateway import Answers, Runner
from fixtures.cases import Case
from fixtures.runners import OpenRunner
from models import calibration
from models.card import Card
from models.checkpoint import Checkpoint, graph_of, open_checkpoint
from models.convert import saved_model
from models.errors import CheckpointError, QuantizeError
from models.flatbuffer import FLATBUFFER, inspect
from models.modes import MODES, flatbuffer, quantize, rule
from models.scales import mask_ranges
from models.sharing import share
from models.store import Store
from tweets.corpus import Corpus
from tweets.splits import Splits

LITERT = Case("host", "ai-edge-litert", "float32")
TFLITE = Case("host", "tflite-runtime", "float32")
TWEETS = 48

Ask = Callable[[Case, Path], Answers]


@pytest.fixture(scope="module")
def tweets(evaluation: Corpus) -> Corpus:
    return evaluation.take(range(TWEETS))


@pytest.fixture(scope="module")
def expected(card: Card) -> np.ndarray:
    return np.array(card.logits[:TWEETS], np.float32)


@pytest.fixture(scope="module")
def ask(bare_runner: OpenRunner, checkpoint: Checkpoint, tweets: Corpus) -> Ask:
    """What a FlatBuffer answers on a runtime."""

    def answers(case: Case, path: Path) -> Answers:
        with bare_runner(case) as runner:
            _load(runner, case, path, checkpoint)
            return runner.classify(tweets.texts)

    return answers


def _load(runner: Runner, case: Case, path: Path, checkpoint: Checkpoint) -> None:
    runner.load(path, checkpoint.tokenizer, checkpoint.label_names, case.runtime)


@pytest.fixture(scope="module")
def path32(checkpoint: Checkpoint, store: Store) -> Path:
    return flatbuffer("float32", checkpoint, store)


@pytest.fixture(scope="module")
def per_channel(path32: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dynamic range with a scale for each channel: the quantizer's own default."""
    path = tmp_path_factory.mktemp("per_channel") / FLATBUFFER
    path.write_bytes(share(quantize(path32, (rule(8, granularity="CHANNELWISE"),))))
    return path


# The three cases that began this suite


def test_a_runtime_that_answers_wrongly_without_an_error_is_caught_by_name(
    ask: Ask, per_channel: Path, expected: np.ndarray
) -> None:
    """The same file is right on ai-edge-litert and garbage on tflite-runtime 2.14."""
    require_answers(ask(LITERT, per_channel).logits, expected, "per channel on ai-edge-litert")
    wrong = ask(TFLITE, per_channel).logits
    with pytest.raises(SilentlyWrongError, match=r"on tflite-runtime answers .* without an error"):
        require_answers(wrong, expected, "per channel on tflite-runtime")


def test_an_operator_that_is_too_new_is_refused_at_load(
    checkpoint: Checkpoint,
    bare_runner: OpenRunner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The converter's own dynamic range (one layer of the checkpoint is enough)."""
    import tensorflow as tf

    # The int8 lookup is too new as well, and would be named first.
    monkeypatch.setattr("models.layers._embedding_lookup", tf.gather)
    source = saved_model(_first_layer(checkpoint, tmp_path), Store(tmp_path / "store"))
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(source.path / "saved_model"), signature_keys=["tokens_24"]
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path = tmp_path / FLATBUFFER
    path.write_bytes(converter.convert())
    needed = inspect(path).operators
    assert operators.refused(needed, "ai-edge-litert==2.3.0") == []
    told = "FULLY_CONNECTED v12; tflite-runtime==2.14.0 stops at v10"
    assert told in operators.refused(needed, "tflite-runtime==2.14.0")
    refused = "opcode 'FULLY_CONNECTED' version '12'"
    with bare_runner(TFLITE) as runner, pytest.raises(LoadError, match=refused):
        _load(runner, TFLITE, path, checkpoint)
    with bare_runner(LITERT) as runner:
        _load(runner, LITERT, path, checkpoint)


def test_one_scale_a_tensor_is_right_on_both(
    ask: Ask, checkpoint: Checkpoint, store: Store, expected: np.ndarray
) -> None:
    path = flatbuffer("dynamic_range", checkpoint, store)
    for case in (LITERT, TFLITE):
        away = logit_distance(ask(case, path).logits, expected)[0]
        assert away <= MODES["dynamic_range"].logit_distance, f"{case}: {away:.3f} of the spread"


def _first_layer(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    """The checkpoint cut to one layer. What is cut off would have no place in the graph."""
    from safetensors.numpy import load_file, save_file

    config = {**checkpoint.config, "num_hidden_layers": 1}
    with pytest.raises(CheckpointError, match=r"encoder\.layer\.1.* has no place in the graph"):
        dataclasses.replace(checkpoint, config=config).weights()
    names = graph_of(config).parameter_shapes(config)
    weights = load_file(checkpoint.path / "model.safetensors")
    save_file({name: weights[name] for name in names}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_bytes(checkpoint.tokenizer.read_bytes())
    return open_checkpoint(str(folder))


# Planted faults


def _ids(checkpoint: Checkpoint, tweets: Corpus) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [encoding.ids for encoding in tokenizer.encode_batch(list(tweets.texts))]


def test_swapped_inputs_and_an_ignored_mask_are_told_apart(
    bare_runner: OpenRunner,
    checkpoint: Checkpoint,
    path32: Path,
    tweets: Corpus,
    expected: np.ndarray,
) -> None:
    """Each fault moves the logits far more than float32's tolerance; fed right, they do not."""
    ids = _ids(checkpoint, tweets)
    assert max(map(len, ids)) <= 64
    ones = [[1] * len(row) for row in ids]
    padded = [row + [0] * (64 - len(row)) for row in ids]
    with bare_runner(LITERT) as runner:
        _load(runner, LITERT, path32, checkpoint)
        right = runner.classify_ids(ids)
        wrong = {
            "types and mask swapped": runner.classify_ids(ids, masks=ones, types=ones),
            "mask ignored": runner.classify_ids(padded, masks=[[1] * 64 for _ in padded]),
            "ids and mask swapped": runner.classify_ids(ones, masks=ones),
        }
    tolerance = MODES["float32"].logit_distance
    assert logit_distance(right.logits, expected)[0] <= tolerance
    for name, answers in wrong.items():
        away = logit_distance(answers.logits, expected)[0]
        assert away > 10 * tolerance, f"{name}: only {away:.1e} of the spread"


def test_permuted_labels_are_told_apart(ask: Ask, path32: Path, expected: np.ndarray) -> None:
    answers = ask(LITERT, path32)
    assert logit_distance(answers.logits[:, [1, 2, 0]], expected)[0] > 0.5
    agreement = (answers.logits[:, [1, 2, 0]].argmax(1) == expected.argmax(1)).mean()
    assert 100 * agreement < MODES["dynamic_range"].agreement


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(np.zeros_like, id="zeros"),
        pytest.param(lambda x: np.repeat(x[:1], len(x), 0), id="a constant answer"),
        pytest.param(lambda x: np.roll(x, 1, 0), id="the previous answer"),
        pytest.param(lambda x: np.where(np.arange(len(x))[:, None] == 3, np.nan, x), id="one NaN"),
    ],
)
def test_a_runtime_that_is_a_stub_is_caught(
    expected: np.ndarray, wrong: Callable[[np.ndarray], np.ndarray]
) -> None:
    require_answers(expected.copy(), expected, "the recorded logits themselves")
    with pytest.raises(SilentlyWrongError):
        require_answers(wrong(expected), expected, "a stub")


def test_a_flatbuffer_of_other_weights_is_told_apart(
    ask: Ask, checkpoint: Checkpoint, path32: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    """A thousand weights of one layer, changed where the file stays loadable."""
    content = path32.read_bytes()
    name = "mobilebert.encoder.layer.11.output.dense.weight"
    row = checkpoint.weights()[name][:2].tobytes()
    assert content.count(row) == 1
    content = content.replace(row, (-np.frombuffer(row, "<f4")).tobytes())
    path = tmp_path / FLATBUFFER
    path.write_bytes(content)
    away = logit_distance(ask(LITERT, path).logits, expected)[0]
    assert away > MODES["float32"].logit_distance


def test_sharing_changes_no_answer(
    ask: Ask, checkpoint: Checkpoint, store: Store, path32: Path, tmp_path: Path
) -> None:
    """The file with everything equal stored once answers bit for bit like the tool's own."""
    path = tmp_path / FLATBUFFER
    path.write_bytes(quantize(path32, MODES["dynamic_range"].recipe))
    shared = flatbuffer("dynamic_range", checkpoint, store)
    assert shared.stat().st_size < path.stat().st_size
    np.testing.assert_array_equal(ask(LITERT, path).logits, ask(LITERT, shared).logits)


@pytest.mark.parametrize("mode", ["int4", "full_integer"])
def test_modes_that_are_no_part_of_the_main_job_keep_their_promises(
    mode: str, ask: Ask, checkpoint: Checkpoint, store: Store, splits: Splits, expected: np.ndarray
) -> None:
    path = flatbuffer(mode, checkpoint, store, splits.calibration)
    found, promised = inspect(path), MODES[mode]
    assert set(found.large_weights) == {promised.weights}
    assert (
        max(found.activations, key=lambda dtype: found.activations[dtype]) == promised.activations
    )
    assert found.signatures[0].outputs["logits"][0] == "float32"
    mean, worst = logit_distance(ask(LITERT, path).logits, expected)
    assert mean <= promised.logit_distance
    assert worst <= promised.worst_logit


def _calibrated(path32: Path, checkpoint: Checkpoint, splits: Splits, mask_from: str) -> bytes:
    """Full integer, by two tweets whose mask and another input changed places."""
    texts = calibration.sample(splits.calibration).texts[:2]
    shown = calibration.samples(inspect(path32).signatures, checkpoint.tokenizer, texts)
    for inputs in (one for signature in shown.values() for one in signature):
        inputs["attention_mask"], inputs[mask_from] = inputs[mask_from], inputs["attention_mask"]
    return share(quantize(path32, MODES["full_integer"].recipe, shown))


def test_calibration_tweets_with_token_types_for_the_mask_are_told_by_its_scale(
    checkpoint: Checkpoint, store: Store, path32: Path, splits: Splits, tmp_path: Path
) -> None:
    """Taken without a word, and the logits are hardly further away: the mask's scale tells."""
    path = tmp_path / FLATBUFFER
    path.write_bytes(_calibrated(path32, checkpoint, splits, "token_type_ids"))
    right = mask_ranges(flatbuffer("full_integer", checkpoint, store, splits.calibration))
    wrong = mask_ranges(path)
    assert len(right) == len(wrong) > 0
    assert min(most - least for least, most in right) > 0.5
    assert min(most - least for least, most in wrong) < 0.01, "no mask was seen: it is ignored"


def test_calibration_tweets_with_ids_for_the_mask_are_refused(
    checkpoint: Checkpoint, path32: Path, splits: Splits
) -> None:
    """Positions are counted from the mask, and so many there are not."""
    with pytest.raises(QuantizeError, match="index out of bounds"):
        _calibrated(path32, checkpoint, splits, "input_ids")


def test_a_calibrated_mode_needs_its_tweets(checkpoint: Checkpoint, store: Store) -> None:
    with pytest.raises(QuantizeError, match="full_integer is calibrated, and there are no"):
        flatbuffer("full_integer", checkpoint, store)


def test_each_length_is_calibrated_with_the_longest_tweets_that_fit_it(
    checkpoint: Checkpoint, path32: Path, splits: Splits
) -> None:
    texts = calibration.sample(splits.calibration).texts
    assert len(texts) == calibration.TWEETS
    tokens = sorted(map(len, _ids(checkpoint, Corpus("x", texts, (0,) * len(texts), ("a",)))))
    for key, shown in calibration.samples(
        inspect(path32).signatures, checkpoint.tokenizer, texts
    ).items():
        length = int(key.removeprefix("tokens_"))
        assert {one["input_ids"].shape for one in shown} == {(1, length)}
        fitting = [n for n in tokens if n <= length][-calibration.A_LENGTH :]
        assert [int(one["attention_mask"].sum()) for one in shown][: len(fitting)] == fitting[::-1]
        assert len(shown) == calibration.A_LENGTH
        assert all(one["input_ids"][one["attention_mask"] == 0].sum() == 0 for one in shown)


def test_an_unknown_mode_is_told(checkpoint: Checkpoint, store: Store) -> None:
    with pytest.raises(QuantizeError, match="known: float32, float16, dynamic_range"):
        flatbuffer("int3", checkpoint, store)


def test_the_converted_file_keeps_every_length(path32: Path) -> None:
    found = {s.key: s.inputs["input_ids"] for s in inspect(path32).signatures}
    assert found == {f"tokens_{n}": ("int32", (1, n)) for n in (24, 40, 64, 128)}
