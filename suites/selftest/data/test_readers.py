"""Readers: tables as people have them, each made here, come to the same dataset or one sentence."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import datasets
import pytest

from data import readers
from data.dataset import POLARITY, Dataset, DatasetError
from data.readers import generic

Row = tuple[str, ...]

ROWS: list[Row] = [
    (f'text {i}, with a comma; a semicolon, a "quote" and N°{i}', POLARITY[i % 3])
    for i in range(60)
]


@dataclass(frozen=True)
class Form:
    """How a table is written."""

    header: tuple[str, ...] | None = ("text", "label")
    delimiter: str = ","
    encoding: str = "utf-8"
    end: str = "\n"
    quoting: Any = csv.QUOTE_MINIMAL

    def write(self, file: Path, rows: Sequence[Row] = ROWS) -> Path:
        made = StringIO()
        writer = csv.writer(
            made, delimiter=self.delimiter, lineterminator=self.end, quoting=self.quoting
        )
        writer.writerows([*([self.header] if self.header else []), *rows])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(made.getvalue().encode(self.encoding))
        return file


def read_one(spec: str | Path) -> Dataset:
    """Read a source without splits."""
    found = readers.load(str(spec))
    assert isinstance(found, Dataset)
    return found


def read_splits(spec: str | Path) -> dict[str, Dataset]:
    """Read a source with splits of its own."""
    found = readers.load(str(spec))
    assert not isinstance(found, Dataset)
    return dict(found)


def read_rows(dataset: Dataset) -> list[Row]:
    labels = (dataset.label_names[label] for label in dataset.labels)
    return list(zip(dataset.texts, labels, strict=True))


# The forms that a table has


@pytest.mark.parametrize(
    "form",
    [
        Form(),
        Form(encoding="utf-8-sig"),
        Form(encoding="utf-16"),
        Form(encoding="utf-16-le"),
        Form(encoding="utf-16-be"),
        Form(encoding="utf-32"),
        Form(encoding="cp1252"),
        Form(delimiter=";"),
        Form(delimiter="\t"),
        Form(delimiter="|"),
        Form(delimiter=";", encoding="utf-16", end="\r\n"),
        Form(end="\r\n"),
        Form(end="\r"),
        Form(quoting=csv.QUOTE_ALL),
        Form(header=("tweet", "sentiment")),
        Form(header=("Review", "Polarity ")),
        Form(header=("sentence", "target")),
        Form(header=("content", "labels")),
    ],
    ids=str,
)
def test_a_table_is_read_whatever_its_form(tmp_path: Path, form: Form) -> None:
    found = read_one(form.write(tmp_path / "mine.csv"))
    assert read_rows(found) == ROWS
    assert (found.name, found.label_names) == ("mine", POLARITY)


def test_the_order_and_number_of_columns_do_not_matter(tmp_path: Path) -> None:
    rows = [(label, str(i), text) for i, (text, label) in enumerate(ROWS)]
    file = Form(("sentiment", "", "text")).write(tmp_path / "mine.csv", rows)
    assert read_rows(read_one(file)) == ROWS


def test_a_tsv_is_cut_at_tabs_and_entities_are_read(tmp_path: Path) -> None:
    rows = [("good", "Positive", "A"), ("None", "negative", "B")]
    file = Form(("text", "label", "entity"), "\t").write(tmp_path / "mine.tsv", rows)
    found = read_one(file)
    assert read_rows(found) == [("good", "positive"), ("None", "negative")]
    assert found.entities == ("A", "B")


@pytest.mark.parametrize(
    ("before", "last"), [(0, '"open at another'), (20, '"open at another'), (20, 'closed"')]
)
def test_quotes_that_are_plain_characters_swallow_no_row(
    tmp_path: Path, before: int, last: str
) -> None:
    """As tweets are in a TSV: a text may begin with a quote that does not end."""
    file = tmp_path / "mine.tsv"
    texts = [*(f"text {i}" for i in range(before)), '"open at one', "in between", last, "one more"]
    lines = [f"{text}\t{POLARITY[i % 2]}" for i, text in enumerate(texts)]
    file.write_text("\n".join(["text\tlabel", *lines]))
    assert read_one(file).texts == tuple(texts)


def test_a_quoted_text_of_several_lines_is_one_text(tmp_path: Path) -> None:
    rows = [("two\nlines, and more", "positive"), ("one", "negative"), ('a ""b""', "negative")]
    assert read_rows(read_one(Form().write(tmp_path / "mine.csv", rows))) == rows


def test_unquoted_commas_are_no_delimiters_of_a_table_with_semicolons(tmp_path: Path) -> None:
    rows = [(f"one, two, three{', four' * (i % 3 == 0)}", POLARITY[i % 3]) for i in range(60)]
    file = tmp_path / "mine.csv"
    file.write_text("\n".join(["text;label", *map(";".join, rows)]))
    assert read_rows(read_one(file)) == rows


def test_excel_names_the_delimiter_in_a_first_line(tmp_path: Path) -> None:
    file = Form(delimiter=";", encoding="utf-8-sig").write(tmp_path / "mine.csv")
    file.write_bytes(b"sep=;\r\n" + file.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    assert read_rows(read_one(file)) == ROWS


def test_a_packed_table_is_unpacked(tmp_path: Path) -> None:
    file = Form().write(tmp_path / "mine.csv")
    packed = tmp_path / "mine.csv.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert read_rows(read_one(packed)) == ROWS


def test_json_is_read_as_lines_as_a_list_and_by_column(tmp_path: Path) -> None:
    objects = [{"text": text, "label": label} for text, label in ROWS]
    contents = {
        "lines.jsonl": "\n".join(map(json.dumps, objects)),
        "lines.json": "\n".join(map(json.dumps, objects)),
        "list.json": json.dumps(objects, indent=2),
        "data.json": json.dumps({"version": 1, "data": objects}),
        "columns.json": json.dumps({name: [o[name] for o in objects] for name in objects[0]}),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content.encode("utf-8-sig"))
        assert read_rows(read_one(tmp_path / name)) == ROWS, name


def test_rows_with_too_few_cells_or_without_a_label_are_counted(tmp_path: Path) -> None:
    file = Form().write(tmp_path / "mine.csv", [*ROWS, ("x", ""), (" ", "positive"), ("alone",)])
    found = read_one(file)
    assert read_rows(found) == ROWS
    assert found.met == {
        "rows with too few or too many cells, left out": 1,
        "rows without a text or a label, left out": 2,
    }


# Encodings


def test_windows_characters_are_read_as_what_they_are(tmp_path: Path) -> None:
    rows = [(f"{text} £5 – “café”", label) for text, label in ROWS]
    found = read_one(Form(encoding="cp1252").write(tmp_path / "mine.csv", rows))
    assert read_rows(found) == rows
    assert found.met == {"files read as cp1252": 1}


def test_a_bad_byte_in_utf8_is_counted_and_shown(tmp_path: Path) -> None:
    rows = [(f"{text} – “café”", label) for text, label in ROWS]
    file = Form().write(tmp_path / "mine.csv", rows)
    file.write_bytes(file.read_bytes().replace(b"text 7,", b"text \x97\xff7,"))
    found = read_one(file)
    assert found.met == {"bytes that are not utf-8, read as U+FFFD": 2}
    assert found.texts[7] == rows[7][0].replace("text 7", "text \ufffd\ufffd7")
    assert found.texts[8] == rows[8][0]


def test_bytes_that_cp1252_does_not_have_are_counted(tmp_path: Path) -> None:
    file = Form(encoding="latin-1").write(tmp_path / "mine.csv")
    file.write_bytes(file.read_bytes() + b"caf\xe9 \x81,positive\n")
    found = read_one(file)
    assert found.texts[-1] == "café \ufffd"
    assert found.met["bytes that are not cp1252, read as U+FFFD"] == 1


def test_another_encoding_is_asked_for_and_then_read(tmp_path: Path) -> None:
    rows = [(f"привет мир {i}", POLARITY[i % 3]) for i in range(60)]
    file = Form(encoding="cp1251").write(tmp_path / "mine.csv", rows)
    with pytest.raises(DatasetError, match=r"mine\.csv:encoding=cp1251$"):
        read_one(file)
    assert read_rows(read_one(f"{file}:encoding=cp1251")) == rows
    with pytest.raises(DatasetError, match="no encoding klingon; type one of Python's names"):
        read_one(f"{file}:encoding=klingon")


# Columns


def test_a_table_without_a_header_is_read_by_the_option_that_is_advised(tmp_path: Path) -> None:
    file = Form(header=None).write(tmp_path / "mine.csv")
    advice = rf"type --dataset {file}:header=none,text=1,label=2$"
    with pytest.raises(DatasetError, match=advice):
        read_one(file)
    assert read_rows(read_one(f"{file}:header=none,text=1,label=2")) == ROWS


def test_columns_are_named_by_option(tmp_path: Path) -> None:
    rows = [(str(i), text, label) for i, (text, label) in enumerate(ROWS)]
    file = Form(("Id", "Message Body", "verdict")).write(tmp_path / "mine.csv", rows)
    with pytest.raises(
        DatasetError, match=r"no column of texts .* Id, Message Body, verdict; type"
    ):
        read_one(file)
    with pytest.raises(DatasetError, match=rf"type --dataset {file}:text=2,label=COLUMN"):
        read_one(f"{file}:text=2")
    for spec in ("text=message body,label=verdict", "text=2,label=3"):
        assert read_rows(read_one(f"{file}:{spec}")) == ROWS
    with pytest.raises(DatasetError, match="no column mood; its columns are Id, Message Body"):
        read_one(f"{file}:label=mood,text=2")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.csv", 'text,label\n" ",positive\n', "no text with both a text and a label among 1"),
        ("d.xlsx", "text", r"cannot read \.xlsx; save it as one of \.csv"),
        ("e.csv", "", "it is empty"),
        ("f.json", '{"text": "x"', "JSON lines hold one object a line"),
        ("g.json", "[1, 2]", "its rows are no JSON objects"),
        ("h.parquet", "no", "cannot be read as Parquet"),
        ("i.csv", "text,label\na,spam\nb,spam\n", "all its texts are of one class, spam"),
        ("j.csv:delimiter=dots", "text,label\n", "type comma, semicolon, tab, pipe or a single"),
        ("k.csv:header=yes", "text,label\n", "type header=none, or leave it out"),
        ("l.jsonl", '{"text": "x", "label": [1, 2]}', "several labels a text, which is not judged"),
        ("m.jsonl", '{"text": ["a"], "label": "x"}', "its column text holds no plain texts"),
    ],
)
def test_a_file_at_fault_is_one_sentence(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    file, _, options = name.partition(":")
    (tmp_path / file).write_text(content)
    with pytest.raises(DatasetError, match=message) as refusal:
        read_one(f"{tmp_path / file}{':' if options else ''}{options}")
    assert "\n" not in str(refusal.value)


def test_a_column_of_values_that_are_no_classes_is_refused(tmp_path: Path) -> None:
    rows = [(text, f"{i / 7:.3f}") for i, (text, _) in enumerate(ROWS)]
    file = Form().write(tmp_path / "mine.csv", rows)
    with pytest.raises(DatasetError, match="60 different values in 60 rows"):
        read_one(file)


@pytest.mark.parametrize("source", ["./no/such/folder", "no_such.csv", "/no/such/folder"])
def test_a_source_that_is_not_there_is_one_sentence(source: str) -> None:
    with pytest.raises(DatasetError, match="no such file or folder"):
        read_one(source)


# Classes


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_two_classes_stay_two(tmp_path: Path, case: Callable[[str], str]) -> None:
    rows = [(text, case(label)) for text, label in ROWS if label != "neutral"]
    found = read_one(Form().write(tmp_path / "mine.csv", rows))
    assert found.label_names == ("negative", "positive")
    assert found.counts() == {"negative": 20, "positive": 20}


def test_other_classes_are_sorted_and_an_option_orders_them(tmp_path: Path) -> None:
    rows = [("x", "spam"), ("y", "Ham"), ("z", "ham")]
    file = Form().write(tmp_path / "mine.csv", rows)
    assert read_one(file).label_names == ("ham", "spam")
    assert read_one(f"{file}:labels=spam/ham").label_names == ("spam", "ham")
    assert read_one(f"{file}:labels=spam/ham/eggs").label_names == ("spam", "ham", "eggs")
    renamed = read_one(f"{file}:labels=spam=bad/ham=good")
    assert read_rows(renamed) == [("x", "bad"), ("y", "good"), ("z", "good")]
    with pytest.raises(DatasetError, match="labels=ham=NAME/spam=NAME"):
        read_one(f"{file}:labels=good/bad")
    with pytest.raises(DatasetError, match="names no class for ham"):
        read_one(f"{file}:labels=spam=bad")
    with pytest.raises(DatasetError, match="not two or more different names"):
        read_one(f"{file}:labels=spam=bad/ham=bad")


@pytest.mark.parametrize("numbers", [(-1, 0, 1), (0, 1, 2), (1.0, 2.0, 3.0), (0, 2, 10)])
def test_numbers_are_classes_once_they_are_named(
    tmp_path: Path, numbers: tuple[float, ...]
) -> None:
    value = {label: str(number) for label, number in zip(POLARITY, numbers, strict=True)}
    file = Form().write(tmp_path / "mine.csv", [(text, value[label]) for text, label in ROWS])
    advice = rf"type --dataset {file}:labels=negative/neutral/positive$"
    with pytest.raises(DatasetError, match=advice) as refusal:
        read_one(file)
    assert ", ".join(str(int(number)) for number in numbers) in str(refusal.value)
    named = read_one(f"{file}:labels=negative/neutral/positive")
    assert (named.label_names, read_rows(named)) == (POLARITY, ROWS)
    pairs = "/".join(f"{int(n)}={label}" for n, label in zip(numbers, POLARITY, strict=True))
    assert read_one(f"{file}:labels={pairs}") == named


def test_several_numbers_may_be_one_class(tmp_path: Path) -> None:
    """As stars: two for each side of the middle."""
    rows = [(f"review {i}", str(i % 5 + 1)) for i in range(60)]
    file = Form().write(tmp_path / "mine.csv", rows)
    found = read_one(f"{file}:labels=1=negative/2=negative/3=neutral/4=positive/5=positive")
    assert found.counts() == {"negative": 24, "neutral": 12, "positive": 24}


def _parquet(file: Path, labels: Sequence[int | None], names: Sequence[str]) -> Path:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(names))}
    )
    rows = {"text": [f"text {i} {file.stem}" for i in range(len(labels))], "label": list(labels)}
    file.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(rows, features=features).to_parquet(file)
    return file


def test_a_class_labels_order_is_kept_and_a_hidden_label_is_no_class(tmp_path: Path) -> None:
    file = _parquet(tmp_path / "mine.parquet", [0, -1, None, 1], ["positive", "negative"])
    found = read_one(file)
    assert (found.labels, found.label_names) == ((0, 1), ("positive", "negative"))
    assert found.texts == ("text 0 mine", "text 3 mine")
    assert found.met == {"rows without a text or a label, left out": 2}


def test_class_labels_that_are_numbers_are_named_by_option(tmp_path: Path) -> None:
    file = _parquet(tmp_path / "mine.parquet", [0, 1, 1], ["0", "1"])
    with pytest.raises(DatasetError, match="its classes are the numbers 0, 1; name them in order"):
        read_one(file)
    assert read_one(f"{file}:labels=no/yes").counts() == {"no": 1, "yes": 2}


def test_a_class_with_control_characters_is_said_in_one_line(tmp_path: Path) -> None:
    file = Form().write(tmp_path / "mine.csv", [*ROWS, ("one more", "nega\ftive")])
    found = read_one(file)
    assert "nega tive" in found.label_names


# Splits of the source's own


@pytest.mark.parametrize(
    "names",
    [
        ("train.csv", "validation.csv", "test.csv"),
        ("data/train-00000-of-00001.csv", "data/val-00000-of-00001.csv", "data/TEST.csv"),
        ("training/part.csv", "dev/part.csv", "eval/part.csv"),
        ("tweets_train.csv", "tweets_dev.csv", "tweets_test.csv"),
    ],
)
def test_a_folder_has_the_splits_that_its_files_are_named_for(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name, rows in zip(names, (ROWS[:30], ROWS[30:45], ROWS[45:]), strict=True):
        Form().write(tmp_path / name, rows)
    (tmp_path / "README.txt").write_text("no table")
    (tmp_path / "dataset_infos.json").write_text("{}")
    found = read_splits(tmp_path)
    assert {name: len(part) for name, part in found.items()} == {
        "train": 30,
        "validation": 15,
        "test": 15,
    }
    assert read_rows(found["test"]) == ROWS[45:]
    assert sorted(read_rows(readers.read(str(tmp_path)))) == sorted(ROWS)


def test_a_folder_of_files_without_splits_is_one_pool(tmp_path: Path) -> None:
    Form().write(tmp_path / "a.csv", ROWS[:30])
    Form(delimiter=";", encoding="cp1252").write(tmp_path / "b.csv", ROWS[30:])
    assert read_rows(read_one(tmp_path)) == ROWS


def test_a_file_that_is_named_for_no_split_is_left_out_and_counted(tmp_path: Path) -> None:
    for name, rows in (("train", ROWS[:30]), ("test", ROWS[30:]), ("extra", ROWS[:3])):
        Form().write(tmp_path / f"{name}.csv", rows)
    found = read_splits(tmp_path)
    assert {name: len(part) for name, part in found.items()} == {"train": 30, "test": 30}
    assert found["train"].met == {"files named for no split, left out": 1}


@pytest.mark.parametrize("hidden", ["no column", "-1", "", "0"])
def test_a_test_split_that_hides_its_labels_is_left_out(tmp_path: Path, hidden: str) -> None:
    Form().write(tmp_path / "train.csv", ROWS[:30])
    Form().write(tmp_path / "validation.csv", ROWS[30:45])
    if hidden == "no column":
        Form(("text",)).write(tmp_path / "test.csv", [row[:1] for row in ROWS[45:]])
    else:
        Form().write(tmp_path / "test.csv", [(text, hidden) for text, _ in ROWS[45:]])
    found = read_splits(tmp_path)
    assert list(found) == ["train", "validation"]
    assert found["train"].met["texts of test, whose labels are hidden"] == 15


def test_parquet_files_with_hidden_labels_as_on_the_hub(tmp_path: Path) -> None:
    for split, labels in (("train", [0, 1, 1]), ("validation", [1, 0]), ("test", [-1, -1])):
        _parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet", labels, ["bad", "good"])
    found = read_splits(tmp_path)
    assert {name: part.labels for name, part in found.items()} == {
        "train": (0, 1, 1),
        "validation": (1, 0),
    }
    assert found["train"].label_names == ("bad", "good")


def test_a_folder_that_datasets_saved_is_read(tmp_path: Path) -> None:
    one = datasets.Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]})
    datasets.DatasetDict(train=one, test=one).save_to_disk(tmp_path / "both")
    one.save_to_disk(tmp_path / "one")
    assert list(read_splits(tmp_path / "both")) == ["train", "test"]
    assert read_one(tmp_path / "one").texts == ("a", "b")


def test_a_class_may_be_missing_from_a_split(tmp_path: Path) -> None:
    Form().write(tmp_path / "train.csv", ROWS)
    Form().write(tmp_path / "test.csv", [row for row in ROWS if row[1] != "neutral"])
    assert read_splits(tmp_path)["test"].label_names == POLARITY


def test_an_empty_folder_and_files_that_do_not_match_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="it holds no table; put"):
        read_one(tmp_path)
    Form().write(tmp_path / "a.csv")
    Form(("tweet", "label")).write(tmp_path / "b.csv")
    with pytest.raises(DatasetError, match="have other columns: text, label and tweet, label"):
        read_one(tmp_path)


def test_a_limit_takes_the_same_sample_of_each_split(tmp_path: Path) -> None:
    Form().write(tmp_path / "train.csv", ROWS[:40])
    Form().write(tmp_path / "test.csv", ROWS[40:])
    found = read_splits(f"{tmp_path}:limit=15")
    assert {name: len(part) for name, part in found.items()} == {"train": 15, "test": 15}
    assert found["train"].met == {"texts beyond the limit, left out": 30}
    assert read_splits(f"{tmp_path}:limit=15") == found
    fewer = read_splits(f"{tmp_path}:limit=5")["train"].texts
    assert set(fewer) < set(found["train"].texts)
    with pytest.raises(DatasetError, match="limit=few: type a whole number"):
        read_splits(f"{tmp_path}:limit=few")


def test_more_text_than_can_be_compared_is_refused_with_the_option_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generic, "MAX_CHARACTERS", 3000)
    file = Form().write(tmp_path / "mine.csv")
    with pytest.raises(DatasetError, match=rf"characters take hours .* {file}:limit=20000$"):
        read_one(file)
    assert len(read_one(f"{file}:limit=30")) == 30


# The hub: what `datasets` is asked for and what comes of its answer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    asked: list[tuple[str, str | None]] = []
    one = datasets.Dataset.from_dict({"sentence": ["a", "b"], "label": ["x", "y"]})

    def load_dataset(source: str, name: str | None = None, revision: str | None = None) -> Any:
        asked.append((source, name))
        if name not in ("small", None) or (source, name) == ("org/several", None):
            raise ValueError("a config name is missing\nand more lines")
        return datasets.DatasetDict(train=one, unsupervised=one, test=one)

    def configurations(source: str) -> list[str]:
        return ["small", "large"] if source == "org/several" else []

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "get_dataset_config_names", configurations)
    return asked


def test_a_hub_id_has_a_configuration_and_options(hub: list[tuple[str, str | None]]) -> None:
    for spec in ("org/data", "org/data:small", "org/data:small:label=label,text=sentence"):
        found = read_splits(spec)
        assert list(found) == ["train", "test"]
        assert found["test"].texts == ("a", "b")
        assert found["train"].met == {"rows of other splits, left out": 2}
    assert hub == [("org/data", None), ("org/data", "small"), ("org/data", "small")]
    assert found["train"].name == "org/data:small"


def test_a_hub_id_without_its_configuration_says_which_there_are(
    hub: list[tuple[str, str | None]],
) -> None:
    with pytest.raises(DatasetError, match="small, large; type --dataset org/several:small"):
        read_splits("org/several")
    with pytest.raises(DatasetError, match=r"cannot load it \(a config name is missing\); "):
        read_splits("org/none:medium")


# The registry


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("brands:text=a", "no option text; brands has none"),
        ("mine.csv:txt=a", "no option txt; there are text, label, entity, labels, header"),
        ("mine.csv:text=a,label", "'label' is no option; type mine.csv:key=value"),
        ("mine.csv:text=a,text=b", "text is there twice"),
        ("mine.csv:source=a", "no option source"),
        ("replab2013:text=a", r"replab2013 needs root .*; type --dataset replab2013:root=DIR"),
    ],
)
def test_options_at_fault_are_one_sentence(spec: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        readers.load(spec)


def test_a_path_with_a_colon_is_a_path(tmp_path: Path) -> None:
    file = Form().write(tmp_path / "mine:text=x.csv")
    assert read_rows(read_one(file)) == ROWS
    _, options = readers.parse(r"C:\texts\mine.csv:label=verdict")
    assert (options.source, options.label) == (r"C:\texts\mine.csv", "verdict")


def test_a_spec_longer_than_a_files_name_may_be(tmp_path: Path) -> None:
    values = "/".join(f"class{i}=negative" for i in range(60))
    _, options = readers.parse(f"{tmp_path}/mine.csv:labels={values}")
    assert options.labels == values


def test_the_help_names_each_reader_and_its_options() -> None:
    text = readers.describe()
    assert [name for name in readers.NAMES if f"\n{name}: " not in f"\n{text}"] == []
    for option in ("root=", "text=", "label=", "labels=", "header=", "encoding=", "revision="):
        assert option in text


def test_a_file_in_the_folder_is_a_reader(tmp_path: Path) -> None:
    """In a copy of the room, where one file is added."""
    source = Path(readers.__file__).parent
    room = tmp_path / "added_readers"
    room.mkdir()
    for file in source.glob("*.py"):
        (room / file.name).write_text(file.read_text())
    (room / "mine.py").write_text(
        '"""Two texts of mine."""\n'
        "from dataclasses import dataclass, field\n"
        "from data.dataset import Dataset\n\n"
        "@dataclass(frozen=True)\nclass Options:\n"
        '    first: str = field(metadata={"help": "the first text"})\n\n'
        "def read(options):\n"
        '    return Dataset("mine", (options.first, "b"), (0, 1), ("x", "y"))\n'
    )
    sys.path.insert(0, str(tmp_path))
    try:
        room_module: types.ModuleType = __import__("added_readers")
        assert room_module.load("mine:first=a").texts == ("a", "b")
        assert "mine: Two texts of mine.\n    first=FIRST: the first text (required)" in (
            room_module.describe()
        )
    finally:
        sys.path.remove(str(tmp_path))
        for name in [name for name in sys.modules if name.startswith("added_readers")]:
            del sys.modules[name]
