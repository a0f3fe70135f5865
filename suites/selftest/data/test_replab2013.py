"""RepLab 2013: the dataset's layout and its traps, in files that are made up; runs and measures."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from data import readers
from data.dataset import POLARITY, Dataset, DatasetError
from data.metrics import accuracy, entity_mean
from data.readers import replab2013
from data.readers.replab2013 import Options, write_run
from data.splits import SHARES, Splits, split
from fit import main
from models.checkpoints.reference_outputs import ReferenceOutputs

BAKERY, FERRY = "RL2013D91E901", "RL2013D92E902"
INFO = (
    "tweet_id",
    "author",
    "entity_id",
    "tweet_url",
    "language",
    "timestamp",
    "urls",
    "extended_urls",
    "md5_extended_urls",
    "is_near_duplicate_of",
)
LABELS = ("tweet_id", "author", "entity_id", "filtering", "polarity", "topic", "topic_priority")


@dataclass(frozen=True)
class Row:
    """One text as the dataset and a hydrated text file give it."""

    entity: str
    tweet: str
    polarity: str = "POSITIVE"
    text: str | None = None
    filtering: str = "RELATED"
    language: str = "EN"
    time: int = 1_300_000_000
    near: str = "-1"
    topic: str = "prices"

    def info(self) -> tuple[str, ...]:
        url = f"https://example.org/{self.tweet}"
        return (
            self.tweet,
            "someone",
            self.entity,
            url,
            self.language,
            str(self.time),
            "",
            "",
            "",
            self.near,
        )

    def labels(self) -> tuple[str, ...]:
        priority = "UNIMPORTANT" if self.polarity else ""
        return (
            self.tweet,
            "someone",
            self.entity,
            self.filtering,
            self.polarity,
            self.topic,
            priority,
        )


class Shifted(Row):
    """A row whose cells from the topic on stand a column too far, as two of the dataset do."""

    def info(self) -> tuple[str, ...]:
        return (*super().info()[:7], "large", "Bread", "Bread")

    def labels(self) -> tuple[str, ...]:
        return (*super().labels()[:3], "RELATED", "RELATED", "neutral", "NEUTRAL")


TRAPS = [
    Row(BAKERY, "11", "POSITIVE", 'They said "best rye in town"\tand meant it', topic="café"),
    Row(BAKERY, "12", "NEGATIVE", "Queue around the block again", time=1_300_000_500),
    Row(BAKERY, "13", "NEUTRAL", "The shop moves to Mill Street &amp; opens at six"),
    Row(BAKERY, "14", "NEUTRAL", "Open at six in Mill Street, they move", near="13"),
    Row(BAKERY, "15", "POSITIVE", "Qué pan tan rico", language="ES"),
    Row(BAKERY, "16", "", "My granny's bakery song", filtering="UNRELATED"),
    Row(BAKERY, "17", "", "Bread", filtering="RELATED"),
    Row(BAKERY, "18", "POSITIVE", None),
    Row(BAKERY, "19", "POSITIVE", "Not Available"),
    Row(FERRY, "11", "NEUTRAL", "They took the ferry to the bakery"),
    Row(FERRY, "21", "NEGATIVE", "Late, wet and expensive", time=1_300_000_900),
    Shifted(FERRY, "22", text="Follow the ship"),
    Shifted(FERRY, "23"),
]


def _table(rows: list[tuple[str, ...]], end: str = "\n") -> str:
    made = StringIO()
    writer = csv.writer(made, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator=end)
    writer.writerows(rows)
    return made.getvalue()


def _write(root: Path, rows: list[Row], *, text: bool = True) -> Path:
    """The dataset's layout: BAKERY's labels in latin-1, the entities with CRLF."""
    entities = sorted({row.entity for row in rows})
    (root / "entities").mkdir(parents=True)
    (root / "entities" / "replab2013_entities.tsv").write_bytes(
        _table([("query", "entity_id"), *(("any", e) for e in entities)], "\r\n").encode()
    )
    for folder in ("tweet_info", "labeled", "tweet_text"):
        (root / "training" / folder).mkdir(parents=True)
    for entity in entities:
        of = [row for row in rows if row.entity == entity]
        _file(root, "tweet_info", entity).write_text(_table([INFO, *(r.info() for r in of)]))
        _file(root, "labeled", entity).write_bytes(
            _table([LABELS, *(r.labels() for r in of)]).encode(
                "latin-1" if entity == BAKERY else "utf-8"
            )
        )
        if text:
            known = [(r.tweet, r.text) for r in of if r.text is not None]
            (root / "training" / "tweet_text" / f"{entity}.tsv").write_text(
                _table([("tweet_id", "tweet_text"), *known])
            )
    return root


def _file(root: Path, folder: str, entity: str) -> Path:
    return root / "training" / folder / f"{entity}.dat"


def _many() -> list[Row]:
    """150 and 90 texts, each of its own words, half a minute apart, latest first."""
    return [
        Row(
            entity,
            f"{1000 + i}",
            POLARITY[i % 3].upper(),
            f"{entity} a{i} b{i} c{i}",
            time=1_400_000_000 - 30 * i,
        )
        for entity, count in ((BAKERY, 150), (FERRY, 90))
        for i in range(count)
    ]


def read(root: Path, text: Path | None = None) -> Dataset:
    return replab2013.read(Options(str(root), str(text) if text else None))


@pytest.fixture
def traps(tmp_path: Path) -> Dataset:
    return read(_write(tmp_path / "dataset", TRAPS))


@pytest.fixture
def splits(tmp_path: Path) -> Splits:
    return split(read(_write(tmp_path / "dataset", _many())))


# Reading


def test_english_related_labelled_tweets_with_text_are_read(traps: Dataset) -> None:
    assert traps.label_names == ("negative", "neutral", "positive")
    read_rows = zip(traps.entities or (), traps.ids or (), traps.labels, strict=True)
    assert list(read_rows) == [
        (BAKERY, "11", 2),
        (BAKERY, "12", 0),
        (BAKERY, "13", 1),
        (BAKERY, "14", 1),
        (FERRY, "11", 1),
        (FERRY, "21", 0),
    ]
    assert traps.times == (*[1_300_000_000, 1_300_000_500] + 3 * [1_300_000_000], 1_300_000_900)


def test_one_id_under_two_entities_is_two_tweets(traps: Dataset) -> None:
    assert traps.texts[0] == 'They said "best rye in town"\tand meant it'
    assert traps.texts[4] == "They took the ferry to the bakery"


def test_what_was_met_is_counted(traps: Dataset) -> None:
    assert traps.met == {
        "rows": 13,
        "files not UTF-8, read as latin-1": 1,
        "rows shifted by a column, left out": 2,
        "in another language": 1,
        "English, unrelated": 1,
        "English, related, without polarity": 1,
        "English with polarity": 8,
        "of these without text": 2,
        "of these marked as near-duplicates": 1,
        "text ids that stand under several entities": 1,
    }


@pytest.mark.parametrize(
    ("folder", "cells"),
    [
        ("labeled", Shifted(FERRY, "21").labels()),
        ("labeled", ("21", FERRY, "RELATED", "NEGATIVE", "prices", "ALERT", "")),
        ("labeled", Row(FERRY, "21").labels()[:5]),
        ("labeled", (*Row(FERRY, "21").labels(), "ALERT")),
        ("tweet_info", Shifted(FERRY, "21").info()),
        ("tweet_info", ("21", "someone", FERRY, "a", "b", "EN", "1300000900", "", "", "-1")),
    ],
)
def test_a_shifted_row_is_left_out_and_counted(
    tmp_path: Path, folder: str, cells: tuple[str, ...]
) -> None:
    root = _write(tmp_path, TRAPS)
    file = _file(root, folder, FERRY)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(_table([cells]) if x.startswith('"21"') else x for x in lines))
    found = read(root)
    assert found.met["rows shifted by a column, left out"] == 3
    assert "21" not in (found.ids or ())


def test_marks_of_near_duplicates_lead_to_their_tweet(traps: Dataset, tmp_path: Path) -> None:
    assert traps.origins is not None
    assert traps.origins[3] == traps.origins[2] == (BAKERY, "13")
    assert traps.origins[4] == (FERRY, "11")
    chain = [
        Row(FERRY, "1", text="a", near="2"),
        Row(FERRY, "2", text="b", near="3"),
        Row(FERRY, "3", text="c"),
    ]
    found = read(_write(tmp_path / "chain", chain))
    assert found.origins == 3 * ((FERRY, "3"),)


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_text_from_one_file_that_the_user_names(tmp_path: Path, suffix: str, encoding: str) -> None:
    text = 'Voilà, "bread"'
    file = tmp_path / f"mine{suffix}"
    quoted = text.replace('"', '""')
    content = {
        ".tsv": f'tweet_id\ttweet_text\n11\t"{quoted}"\n',
        ".csv": f'tweet_text,tweet_id\r\n"{quoted}",11\r\n',
        ".jsonl": json.dumps({"tweet_id": 11, "tweet_text": text}, ensure_ascii=False),
    }[suffix]
    file.write_bytes(content.encode(encoding))
    found = read(_write(tmp_path / "dataset", TRAPS, text=False), file)
    assert found.texts == (text, text)
    assert found.entities == (BAKERY, FERRY), "the file names no entity: the text is of both"
    assert found.met["files not UTF-8, read as latin-1"] == 1 + (encoding == "latin-1")


# Input at fault


def test_a_root_is_asked_for() -> None:
    with pytest.raises(DatasetError, match=r"needs root .*; type --dataset replab2013:root=DIR"):
        readers.load("replab2013")


def test_the_spec_names_the_root_and_the_texts(tmp_path: Path) -> None:
    root = _write(tmp_path / "dataset", TRAPS, text=False)
    (tmp_path / "texts.tsv").write_text("tweet_id\ttweet_text\n12\tQueue again\n")
    found = readers.load(f"replab2013:root={root},text={tmp_path / 'texts.tsv'}")
    assert isinstance(found, Dataset)
    assert found.texts == ("Queue again",)


def test_another_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"entities\.tsv: no such file; type --dataset replab2013:root=DIR"
    ):
        read(tmp_path)


@pytest.mark.parametrize("named", [None, "elsewhere"])
def test_a_corpus_without_text_says_what_to_do(tmp_path: Path, named: str | None) -> None:
    root = _write(tmp_path / "dataset", TRAPS, text=False)
    with pytest.raises(DatasetError, match=r"none of the 8 English .* fetch it by text id .* name"):
        read(root, tmp_path / named if named else None)


def test_labels_of_other_tweets_than_the_tweet_file_are_told(tmp_path: Path) -> None:
    root = _write(tmp_path, TRAPS)
    others = [LABELS, Row(FERRY, "11").labels(), Row(FERRY, "31").labels()]
    _file(root, "labeled", FERRY).write_text(_table(others))
    with pytest.raises(DatasetError, match="1 of 2 ids stand in the first alone, 3 of 4 in the"):
        read(root)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Row(FERRY, "31", "MIXED"), "polarity 'MIXED'; RepLab 2013 has"),
        (Row(FERRY, "31", filtering="YES"), "filtering 'YES', polarity 'POSITIVE'"),
        (Row(FERRY, "21"), "row 6 has the id of an earlier row"),
        (Row(FERRY, "31", filtering="UNRELATED", polarity=""), None),
    ],
)
def test_another_label_set_is_told(tmp_path: Path, row: Row, said: str | None) -> None:
    root = _write(tmp_path, [*TRAPS, row])
    if said is None:
        assert read(root)
    else:
        with pytest.raises(DatasetError, match=said):
            read(root)


def test_an_entity_without_its_file_is_told(tmp_path: Path) -> None:
    root = _write(tmp_path, TRAPS)
    _file(root, "labeled", FERRY).unlink()
    with pytest.raises(DatasetError, match=f"labeled: .* different entities: '{FERRY}'"):
        read(root)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tsv", "id\ttweet_text\n11\thello\n", "no column tweet_id"),
        ("b.tsv", 'tweet_id\ttweet_text\n11\t"He said "hi""\n', "quote within a quoted field"),
        ("c.tsv", 'tweet_id\ttweet_text\n11\t"open\n12\tswallowed\n', "quote within a quoted"),
        ("d.jsonl", '[{"tweet_id": 11,\n"tweet_text": "x"}]', "one object a line"),
        ("e.jsonl", '{"tweet_id": 11}', "no column tweet_text"),
        ("f.xlsx", "", "read from .tsv"),
    ],
)
def test_a_text_file_at_fault_is_told(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=said):
        read(_write(tmp_path / "dataset", TRAPS), tmp_path / name)


# Splits


def test_evaluation_is_the_last_fifth_of_each_entity(splits: Splits) -> None:
    for entity, count in ((BAKERY, 150), (FERRY, 90)):
        times = {
            name: [t for t, e in zip(part.times, part.entities, strict=True) if e == entity]
            for name in SHARES
            for part in [getattr(splits, name)]
        }
        rest = [t for name in SHARES if name != "evaluation" for t in times[name]]
        assert (len(times["evaluation"]), len(rest)) == (count * 0.2, count * 0.8)
        assert min(times["evaluation"]) > max(rest)
    train = len(splits.train) / (0.8 * 240)
    assert train == pytest.approx(0.73 / 0.82, abs=0.06), "the hash shares the rest as elsewhere"


def test_marked_near_duplicates_never_stand_on_two_sides(tmp_path: Path) -> None:
    rows = _many()
    # Unlike in words, from before and after the hold-out: only the mark says that they are one.
    pairs = [(rows[i], rows[100 + i]) for i in range(20)]
    marked = {late: Row(**vars(late) | {"near": early.tweet}) for late, early in pairs}
    dataset = read(_write(tmp_path, [marked.get(row, row) for row in rows]))
    found = split(dataset)
    assert found.duplicates == 20
    side = {
        key: name
        for name in SHARES
        for part in [getattr(found, name)]
        for key in zip(part.entities, part.ids, strict=True)
    }
    for late, early in pairs:
        kept = {(row.entity, row.tweet) for row in (late, early)} & side.keys()
        assert kept == {(late.entity, late.tweet)}, "the first in the source stays"


def test_counts_travel_with_the_splits(splits: Splits) -> None:
    described = splits.describe()
    assert described["read"].startswith("rows: 240; files not UTF-8")
    assert "English with polarity: 240" in described["read"]
    assert described["held out"] == "the last 20% of each entity by time"
    assert described["dropped"] == "0 near-duplicates, Jaccard >= 0.8 or marked by the dataset"


# The official measure, and the organisers' run format


def _scored(gold: Path, run: Path) -> float:
    """What the organisers' scorer says, by its rules: the first line of both files is skipped,
    quotes are dropped, lines end with LF, a missing answer is wrong, entities count alike."""

    def lines(file: Path) -> list[list[str]]:
        rows = file.read_bytes().decode().split("\n")[1:]
        return [row.replace('"', "").split("\t") for row in rows if row]

    outputs = {(entity, tweet): polarity for entity, tweet, polarity in lines(run)}
    right = defaultdict(list)
    for entity, tweet, polarity in lines(gold):
        right[entity].append(outputs.get((entity, tweet)) == polarity)
    return sum(sum(of) / len(of) for of in right.values()) / len(right)


def test_entity_mean_on_a_case_worked_by_hand() -> None:
    labels, entities = [0, 1, 2, 2, 2], ["A", "A", "A", "A", "B"]
    assert entity_mean(labels, [0, 1, 0, 0, 2], entities) == pytest.approx((2 / 4 + 1) / 2)
    assert entity_mean(labels, [0, 1, 0, -1, -1], entities) == pytest.approx((2 / 4 + 0) / 2)
    assert accuracy(labels, [0, 1, 0, 0, 2]) == pytest.approx(3 / 5)
    with pytest.raises(DatasetError, match="differ in shape"):
        entity_mean(labels, labels, entities[1:])


def test_a_run_file_is_what_the_organisers_describe(traps: Dataset, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "mine.dat", traps.take([0, 4]), [0, 2])
    assert (tmp_path / "runs" / "mine.dat").read_bytes() == (
        b'"entity_id"\t"tweet_id"\t"polarity"\n'
        b'"RL2013D91E901"\t"11"\t"NEGATIVE"\n'
        b'"RL2013D92E902"\t"11"\t"POSITIVE"\n'
    )


def test_tweets_without_entities_make_no_run_file(tmp_path: Path) -> None:
    dataset = Dataset("made up", ("x",), (0,), POLARITY)
    with pytest.raises(DatasetError, match="needs entities, text ids and the classes"):
        write_run(tmp_path / "run.dat", dataset, [0])


def test_score_prints_the_measures_beside_constant_answers_and_writes_the_run(
    splits: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = splits.evaluation
    right = [entity == BAKERY for entity in dataset.entities or ()]
    outputs = tuple(x if ok else 0 for x, ok in zip(dataset.labels, right, strict=True))
    logits = tuple(tuple(float(i == x) for i in range(3)) for x in outputs)
    names, texts = dataset.label_names, dataset.checksum()
    ReferenceOutputs("mine", "", "", 0, 0, dataset.name, texts, names, outputs, logits, {}).save(
        tmp_path / "reference_outputs.json"
    )
    run, gold = tmp_path / "run.dat", tmp_path / "gold.dat"
    asked = ["score", str(tmp_path), "--dataset", f"replab2013:root={tmp_path / 'dataset'}"]
    assert main([*asked, "--run", str(run), "--gold", str(gold)]) == 0
    said = capsys.readouterr().out
    mean = entity_mean(dataset.labels, outputs, dataset.entities or ())
    assert mean != pytest.approx(accuracy(dataset.labels, outputs), abs=0.01)
    assert f"entity mean accuracy {100 * mean:.1f}%" in next(
        x for x in said.split("\n") if "mine" in x
    )
    assert _scored(gold, run) == pytest.approx(mean)
    assert "always positive: accuracy 33.3%, balanced accuracy 33.3%" in said
    assert said.count("(most of train)") == 1


def test_tweets_that_mark_each_other_have_one_origin(tmp_path: Path) -> None:
    marks = {"1": "2", "2": "3", "3": "2", "4": "-1"}
    rows = [Row(FERRY, tweet, text=f"text {tweet}", near=near) for tweet, near in marks.items()]
    found = read(_write(tmp_path, rows))
    assert found.origins == (*3 * ((FERRY, "2"),), (FERRY, "4"))
