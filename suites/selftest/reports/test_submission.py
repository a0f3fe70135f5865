"""The check of what others send: tests without a record, figures that cannot be true, the pool."""

from pathlib import Path
from typing import Any

import pytest

from fit import main
from reports import submission
from reports.schema import REQUIRED, ReportError
from suites.selftest.reports.runs import METADATA, planted, records, write

CLAIM = """import pytest

def test_it(target, check): ...

@pytest.mark.only(mode="int4")
def test_of_another_mode(target, check): ...

@pytest.mark.only(emulated=True)
def test_of_an_emulated_board(target, check): ...

@pytest.mark.only(baseline_model=True)
def test_against_a_baseline(target, check): ...
"""


@pytest.fixture
def suites(tmp_path: Path) -> Path:
    """Claims with the tests that the records of `runs` have."""
    folder = tmp_path / "suites"
    folder.mkdir()
    for claim in REQUIRED:
        (folder / f"test_{claim}.py").write_text(CLAIM)
    return folder


def faults(path: Path, suites: Path) -> tuple[str, ...]:
    [found] = submission.check(path, suites)
    return found.faults


def test_a_sound_file_has_no_fault(run: Path, suites: Path) -> None:
    assert faults(run, suites) == ()


@pytest.mark.parametrize(
    "mark", ["", '@pytest.mark.only(mode=("float32", "int4"), emulated=False)\n']
)
def test_a_test_without_a_record_is_named(run: Path, suites: Path, mark: str) -> None:
    """Its record was removed, checksum and targets made again."""
    more = f"\n{mark}def test_more(target, check): ...\n"
    (suites / "test_accuracy.py").write_text(CLAIM + more)
    modes = ("float32",) if mark else ("dynamic_range", "float32")
    assert faults(run, suites) == tuple(
        f"host / ai-edge-litert / {mode}: no record of accuracy: test_more" for mode in modes
    )


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("accuracy", 179.6, "not from 0 to 100"),
        ("accuracy", 85.0, "outside its bounds"),
        ("p90_ms", -1.0, "not above 0"),
        ("size_bytes", 0, "not above 0"),
        ("inference_p90_ms", 90.0, "above p90_ms 60"),
        ("texts_per_s", 9000.0, "impossible with p90_ms"),
        ("texts", 10, "no whole number of texts"),
        ("confusion_matrix", [[3, 1], [0, 4]], "confusion_matrix says 87.5"),
    ],
)
def test_an_impossible_figure_is_named(
    tmp_path: Path, suites: Path, key: str, value: Any, sentence: str
) -> None:
    found = faults(write(tmp_path / "verdicts.json", planted(key, value)), suites)
    assert any(sentence in fault for fault in found)


def test_a_drop_that_the_accuracies_contradict_is_named(tmp_path: Path, suites: Path) -> None:
    of = planted("accuracy", 75.0)
    for one in of:
        if one["metrics"] and one["target"]["mode"] == "dynamic_range":
            one["metrics"] |= {"texts": 4, "reference_accuracy": 80.0, "drop": 1.0}
            del one["metrics"]["accuracy_lower"], one["metrics"]["accuracy_upper"]
    about = METADATA | {"splits": {"evaluation": "4 texts, sha256 abc"}}
    [fault] = faults(write(tmp_path / "verdicts.json", of, about), suites)
    assert fault.endswith("drop is 1; the accuracies say 5")
    # On a sample of the texts the reference's accuracy is of others.
    assert faults(write(tmp_path / "verdicts.json", of), suites) == ()


def test_metadata_that_does_not_say_what_was_judged_is_a_fault(
    tmp_path: Path, suites: Path
) -> None:
    path = write(tmp_path / "verdicts.json", records(), {"dataset": "brands"})
    found = faults(path, suites)
    assert "metadata.splits is missing" in found
    assert "metadata has neither weights_sha256 nor model_file" in found


def test_a_pool_gets_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = tmp_path / "pool"
    for name in ("ada", "a-name-that-takes-more-than-its-share-of-the-hundred-columns-there-are"):
        write(pool / name / "verdicts.json", records())
    (pool / "eve").mkdir()
    (pool / "eve" / "verdicts.json").write_text("{")
    found = submission.check(pool, tmp_path / "none")
    text = submission.report(found)
    assert [bool(one.faults) for one in found] == [False, False, True]
    assert text.splitlines()[-1] == "3 files: 2 valid, 1 refused"
    assert text.count("ada ") == 2 and "eve" in text and "refused" in text
    table = text.splitlines()[1:]
    assert max(map(len, table)) <= 100
    assert main(["check", str(pool)]) == 1
    assert "eve/verdicts.json: incomplete JSON" in capsys.readouterr().out


def test_the_command_knows_the_tests_of_this_version(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(run)]) == 1
    assert "no record of privacy: test_" in capsys.readouterr().out


def test_a_folder_without_a_verdict_file_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ReportError, match="no "):
            submission.check(path)
        assert main(["check", str(path)]) == 2
