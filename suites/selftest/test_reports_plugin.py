"""The plugin, run on small suites of its own: each of these fails if the harness is broken."""

import json
from pathlib import Path
from typing import Any

import pytest

from devices.errors import NoRuntimeError, ProvisionError
from fixtures import verdicts
from reports.decision import Verdict

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
HEADER = """
from dataclasses import dataclass
import pytest
from reports.decision import DoesNotShip, Estimate

@dataclass(frozen=True)
class Case:
    mode: str
    device: str = "host"
    runtime: str = "ai-edge-litert"

    def __str__(self):
        return f"{self.device}-{self.runtime}-{self.mode}"

CASES = [Case("float32"), Case("int4")]
GROUPED = [pytest.param(c, id=str(c), marks=pytest.mark.xdist_group(str(c))) for c in CASES]
both = pytest.mark.parametrize("case", GROUPED)
"""
SHIPS = """
@both
def test_it(case, judge):
    judge.facts(p90_ms=12.5, tweets=3)
    judge.at_most("figure", Estimate(1.0, "ms", "p90"), 2.0)
"""
MISSES = """
@both
def test_it(case, judge):
    judge.at_most("figure", Estimate(3.0 if case.mode == "int4" else 1.0, "ms", "p90"), 2.0)
"""
TEST = "suites/test_accuracy.py::test_it[host-ai-edge-litert-int4]"


class House:
    """A folder with the plugin, and claim files as a test wants them."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.report = pytester.path / "out" / "verdicts.json"
        pytester.makeconftest('pytest_plugins = ["fixtures.verdicts"]')
        pytester.makeini("[pytest]\naddopts = --import-mode=importlib")
        (pytester.path / "suites").mkdir()

    def claim(self, name: str, body: str) -> None:
        (self.pytester.path / "suites" / f"test_{name}.py").write_text(HEADER + body)

    def miss(self, test: str = TEST, raises: str = "DoesNotShip", **more: object) -> None:
        fields = {"tests": [test], "reason": "known", "figure": "3 ms", "raises": raises, **more}
        lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items() if value]
        path = self.pytester.path / "suites" / "known_misses.toml"
        path.write_text("\n".join(["[[miss]]", *lines]) + "\n")

    def run(self, *arguments: str) -> pytest.RunResult:
        command = ("-p", "no:cacheprovider", "--report-dir", "out", *arguments)
        return self.pytester.runpytest_inprocess(*command)

    def read(self) -> dict[str, Any]:
        return json.loads(self.report.read_text())

    def records(self) -> dict[str, Any]:
        return {
            record["nodeid"].removeprefix("suites/"): record for record in self.read()["records"]
        }


@pytest.fixture
def house(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # this run may be a worker itself
    return House(pytester)


def test_a_ship_is_recorded_with_its_figures(house: House) -> None:
    house.claim("accuracy", SHIPS)
    result = house.run()
    assert result.ret == 0
    record = house.records()["test_accuracy.py::test_it[host-ai-edge-litert-int4]"]
    assert (record["claim"], record["verdict"], record["outcome"]) == (
        "accuracy",
        "ships",
        "passed",
    )
    assert record["case"] == {"device": "host", "runtime": "ai-edge-litert", "mode": "int4"}
    assert record["facts"] == {"p90_ms": 12.5, "tweets": 3}
    assert record["measurements"][0]["budget"] == 2.0
    assert {case["verdict"] for case in house.read()["cases"]} == {"undecided"}
    result.stdout.fnmatch_lines(
        ["*undecided – not judged: *latency*", "undecided: host / *", "report: *verdicts.json"]
    )


def test_a_case_ships_when_every_required_claim_does(house: House) -> None:
    for claim in ("footprint", "accuracy", "latency", "memory", "conformance", "privacy"):
        house.claim(claim, SHIPS)
    assert house.run().ret == 0
    assert {case["verdict"] for case in house.read()["cases"]} == {"ships"}


@pytest.mark.parametrize(
    ("body", "verdict", "reason"),
    [
        ("def test_it(): pass", "invalid", "judged nothing"),
        ("def test_it(judge): judge.facts(tweets=3)", "invalid", "judged nothing"),
        ("def test_it(): pytest.skip('no board')", "invalid", "skipped: no board"),
        ("def test_it(): pytest.xfail('well')", "invalid", "skipped: well"),
        ("@pytest.mark.skip(reason='slow')\ndef test_it(): pass", "invalid", "skipped: slow"),
        ("def test_it(): raise KeyError('x')", "invalid", "error: KeyError"),
        (
            "class LoadError(Exception): pass\ndef test_it(): raise LoadError('op')",
            "cannot run",
            "op",
        ),
        ("def test_it(judge): judge.holds('zeros', False, 'all 0')", "does not ship", "all 0"),
        ("def test_it(judge): judge.facts(p90_ms=float('nan'))", "invalid", "p90_ms"),
        ("def test_it(judge): judge.facts(p90_ms='fast')", "invalid", "p90_ms"),
        (
            "def test_it(judge): judge.at_most('a', Estimate(float('nan'), '', 's'), 1)",
            "invalid",
            "finite",
        ),
        ("def test_it(judge): judge.at_most('a', Estimate(1, '', 's'), None)", "invalid", "budget"),
        (
            "def test_it(judge): judge.at_most('a', Estimate(1, '', 's', 0, 2), 1)",
            "undecided",
            "straddles",
        ),
        (
            "def test_it(judge):\n    with pytest.raises(DoesNotShip):\n"
            "        judge.holds('a', False, 'no')",
            "invalid",
            "caught its own verdict",
        ),
        (
            "@pytest.fixture\ndef broken():\n    yield\n    raise OSError('gone')\n"
            "def test_it(judge, broken): judge.holds('a', True, 'yes')",
            "invalid",
            "OSError",
        ),
    ],
)
def test_what_does_not_ship_is_red_and_says_why(
    house: House, body: str, verdict: str, reason: str
) -> None:
    house.claim("accuracy", body)
    house.claim("footprint", SHIPS)
    assert house.run().ret == 1
    record = house.records()["test_accuracy.py::test_it"]
    assert (record["verdict"], reason in record["reason"]) == (verdict, True), record


def test_a_known_miss_is_expected_and_keeps_its_verdict(house: House) -> None:
    house.claim("accuracy", MISSES)
    house.miss()
    result = house.run()
    result.assert_outcomes(passed=1, xfailed=1)
    assert result.ret == 0
    record = house.records()[TEST.removeprefix("suites/")]
    assert (record["verdict"], record["outcome"]) == ("does not ship", "xfailed")
    assert record["known_miss"]
    assert house.read()["cases"][1]["verdict"] == "does not ship"


def test_a_known_miss_of_every_test_of_a_claim(house: House) -> None:
    declared = "@both\ndef test_{}(case, judge):\n    judge.cannot_run('too new')"
    house.claim("accuracy", declared.format("it") + "\n" + declared.format("too"))
    every = "suites/test_accuracy.py::*[host-ai-edge-litert-{}]"
    house.claim("footprint", SHIPS)
    house.miss(test=every.format("*"), raises="CannotRun")
    result = house.run()
    result.assert_outcomes(passed=2, xfailed=4)
    house.miss(test=every.format("int4"), raises="CannotRun")
    house.run().assert_outcomes(passed=2, xfailed=2, failed=2)
    house.miss(test=every.format("int5"), raises="CannotRun")
    assert house.run().ret == 4
    house.pytester.makeconftest(
        "from fixtures.verdicts import NARROWED\npytest_plugins = ['fixtures.verdicts']\n"
        "def pytest_configure(config):\n"
        "    config.stash[NARROWED] = frozenset({'host-tflite-runtime-int5'})"
    )
    house.miss(test="suites/test_accuracy.py::*[host-tflite-runtime-*]", raises="CannotRun")
    assert house.run().ret == 1  # what it names was left out of this run


def test_a_known_miss_that_passes_is_red(house: House) -> None:
    house.claim("accuracy", SHIPS)
    house.miss()
    result = house.run()
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1


@pytest.mark.parametrize("raises", ["Undecided", "CannotRun"])
def test_a_known_miss_that_misses_otherwise_is_red(house: House, raises: str) -> None:
    house.claim("accuracy", MISSES)
    house.miss(raises=raises)
    assert house.run().ret == 1


@pytest.mark.parametrize(
    ("arguments", "status"), [((), 4), (("-k", "float32"), 4), (("-n", "2"), 1)]
)
def test_a_known_miss_that_matches_no_test_is_red(
    house: House, arguments: tuple[str, ...], status: int
) -> None:
    house.claim("accuracy", SHIPS)
    house.miss(test="suites/test_accuracy.py::test_it[nowhere]")
    result = house.run(*arguments)
    assert result.ret == status
    assert "match no collected test" in result.stdout.str() + result.stderr.str()


def test_a_known_miss_in_a_file_that_is_gone_is_red(house: House) -> None:
    house.claim("accuracy", SHIPS)
    house.miss(test="suites/test_speed.py::test_it")
    assert house.run().ret == 4


def test_a_known_miss_of_a_case_left_out_by_options_is_let_by(house: House) -> None:
    house.pytester.makeconftest(
        'from fixtures.verdicts import NARROWED\npytest_plugins = ["fixtures.verdicts"]\n'
        "def pytest_configure(config): config.stash[NARROWED] = frozenset({'pi4-litert-int4'})\n"
    )
    house.claim("accuracy", SHIPS)
    house.miss(test="suites/test_accuracy.py::test_it[pi4-litert-int4]")
    assert house.run().ret == 0
    house.miss(test="suites/test_accuracy.py::test_it[pi4-litert-int4x]")
    assert house.run().ret == 4


@pytest.mark.parametrize(
    "arguments", [("suites/test_memory.py",), (f"{TEST.replace('int4', 'float32')}",)]
)
def test_a_known_miss_elsewhere_is_left_alone(house: House, arguments: tuple[str]) -> None:
    house.claim("accuracy", SHIPS)
    house.claim("memory", SHIPS)
    house.miss()
    assert house.run(*arguments).ret == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [({"raises": "NoSuchError"}, "NoSuchError"), ({"figure": ""}, "figure"), ({"x": "y"}, "x")],
)
def test_a_wrong_entry_is_a_usage_error(house: House, more: dict[str, str], said: str) -> None:
    house.claim("accuracy", MISSES)
    house.miss(**more)
    result = house.run()
    assert result.ret == 4
    assert said in result.stderr.str()


def test_workers_send_their_records_and_one_report_is_written(house: House) -> None:
    house.claim("accuracy", SHIPS)
    house.claim("footprint", MISSES)
    house.miss(test=TEST.replace("accuracy", "footprint"))
    result = house.run("-n", "2")
    assert result.ret == 0, result.stdout.str()
    assert len(house.records()) == 4
    assert list(house.pytester.path.rglob("verdicts.json")) == [house.report]


@pytest.mark.parametrize("claim", ["latency", "memory"])
def test_time_and_memory_under_workers_are_invalid(house: House, claim: str) -> None:
    house.claim(claim, SHIPS)
    assert house.run("-n", "1").ret == 1
    assert {r["verdict"] for r in house.records().values()} == {"invalid"}
    assert "under -n" in next(iter(house.records().values()))["reason"]


def test_a_worker_that_dies_does_not_take_its_test_with_it(house: House) -> None:
    house.claim("accuracy", SHIPS)
    house.claim("footprint", "import os\ndef test_it(): os._exit(3)")
    assert house.run("-n", "1", "--max-worker-restart=0").ret == 1
    assert {case["verdict"] for case in house.read()["cases"]} <= {"invalid"}
    assert house.records()["test_footprint.py::test_it"]["reason"] == "not run"


def test_tests_after_the_first_failure_are_recorded_as_not_run(house: House) -> None:
    house.claim("accuracy", "def test_a(): pass\n" + SHIPS)
    assert house.run("-x").ret != 0
    assert house.records()[TEST.removeprefix("suites/")]["outcome"] == "not run"


def test_a_known_miss_that_became_worse_is_red(house: House) -> None:
    house.claim("accuracy", MISSES)  # 3 ms
    house.miss(limit=3.5)
    assert house.run().ret == 0
    house.miss(limit=2.5)
    result = house.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*worse than the known miss allows (2.5)*"])


def test_an_entry_may_name_several_tests_that_miss_alike(house: House) -> None:
    house.claim("accuracy", MISSES)
    house.claim("footprint", MISSES)
    both = [TEST, TEST.replace("accuracy", "footprint")]
    house.miss(tests=both)
    assert house.run().ret == 0
    house.claim("footprint", SHIPS)
    assert house.run().ret == 1, "one of the two passes"
    house.miss(tests=[TEST, TEST])
    result = house.run()
    assert result.ret == 4
    assert "listed twice" in result.stderr.str()


def test_the_known_misses_of_another_candidate_are_not_expected(house: House) -> None:
    house.claim("accuracy", MISSES)
    house.miss()
    assert house.run().ret == 0
    path = house.pytester.path / "suites" / "known_misses.toml"
    path.write_text('candidate = "the weights that ship"\n' + path.read_text())
    assert house.run().ret == 1


def test_a_report_is_extended_by_a_second_run(house: House) -> None:
    house.claim("accuracy", SHIPS)
    house.claim("latency", SHIPS)
    assert house.run("suites/test_latency.py").ret == 0
    # Extended, a report is whole, and a case that does not pass for no known reason is red.
    assert house.run("-n", "2", "--extend-report", "suites/test_accuracy.py").ret == 1
    assert len(house.records()) == 4
    house.claim("accuracy", MISSES)
    assert house.run("--extend-report", "suites/test_accuracy.py").ret == 1
    assert len(house.records()) == 4
    assert house.records()[TEST.removeprefix("suites/")]["verdict"] == "does not ship"


@pytest.mark.parametrize(
    "parallel", [(), ("-n", "2"), ("-n", "2", "--dist", "loadgroup")], ids=" ".join
)
def test_a_case_does_not_ship_on_a_part_of_its_tests(
    house: House, parallel: tuple[str, ...]
) -> None:
    for claim in ("footprint", "accuracy", "conformance", "privacy"):
        house.claim(claim, SHIPS + SHIPS.replace("test_it", "test_too"))
    for claim in ("latency", "memory"):
        house.claim(claim, SHIPS)
    house.run("-k", "test_latency or test_memory")  # the others are deselected, by their plain ids
    part = [
        f"suites/test_{claim}.py" for claim in ("footprint", "accuracy", "conformance", "privacy")
    ]
    assert house.run(*parallel, "--extend-report", "-k", "test_it and int4", *part).ret == 1
    found = {case["case"]["mode"]: case for case in house.read()["cases"]}
    assert found["int4"]["verdict"] == "undecided"
    assert "deselected" in found["int4"]["reasons"][0]
    assert house.run(*parallel, "--extend-report", *part).ret == 0
    assert {case["verdict"] for case in house.read()["cases"]} == {"ships"}


def test_a_case_does_not_ship_on_tests_that_were_named(house: House) -> None:
    """Of which pytest deselects none."""
    for claim in ("footprint", "accuracy", "conformance", "privacy", "latency", "memory"):
        house.claim(claim, SHIPS + SHIPS.replace("test_it", "test_too"))
    files = [f"suites/test_{claim}.py" for claim in ("footprint", "conformance", "privacy",
                                                     "latency", "memory")]  # fmt: skip
    house.run(*files, "suites/test_accuracy.py::test_it")
    for found in house.read()["cases"]:
        assert (found["verdict"], "deselected" in found["reasons"][0]) == ("undecided", True)
    assert house.run("--extend-report", "suites/test_accuracy.py").ret == 0
    assert {case["verdict"] for case in house.read()["cases"]} == {"ships"}


def test_one_worker_runs_all_tests_of_a_case(house: House) -> None:
    """What its FlatBuffer answers is asked once, so a second worker would wait for the first."""
    tell = """
    import os, pathlib
    pathlib.Path("ran", f"{case.mode}-{os.environ['PYTEST_XDIST_WORKER']}").touch()
"""
    for claim in ("accuracy", "conformance", "privacy"):
        house.claim(claim, (SHIPS + tell) + (SHIPS + tell).replace("test_it", "test_too"))
    (house.pytester.path / "ran").mkdir()
    house.run("-n", "2", "--dist", "loadgroup")
    ran = sorted(path.name.split("-")[0] for path in (house.pytester.path / "ran").iterdir())
    assert ran == ["float32", "int4"]


def test_a_projected_speed_conforms_and_does_not_ship(house: House) -> None:
    for claim in ("footprint", "accuracy", "memory", "conformance", "privacy"):
        house.claim(claim, SHIPS)
    house.claim(
        "latency",
        "@both\ndef test_it(case, judge):\n"
        "    judge.projected('p90', Estimate(490.0, 'ms', 'p90'), 'counted instructions')",
    )
    assert house.run().ret == 0
    assert {case["verdict"] for case in house.read()["cases"]} == {"conforms, speed projected"}


SUBJECT = """
import os
from fixtures.verdicts import SUBJECT
pytest_plugins = ["fixtures.verdicts"]

def pytest_sessionstart(session):
    if not hasattr(session.config, "workercount"):
        session.config.stash[SUBJECT].update(checkpoint=os.environ["CHECKPOINT"].format(os.getpid()))
"""


def test_another_subject_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.pytester.makeconftest(SUBJECT)
    house.claim("accuracy", SHIPS)
    monkeypatch.setenv("CHECKPOINT", "tiny")
    assert house.run().ret == 0
    assert house.read()["subject"] == {"checkpoint": "tiny"}
    before = house.report.read_text()
    monkeypatch.setenv("CHECKPOINT", "huge")
    result = house.run("--extend-report")
    assert result.ret == 1
    assert "checkpoint is given twice" in result.stdout.str()
    assert house.report.read_text() == before


def test_workers_with_different_subjects_are_invalid(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.pytester.makeconftest(SUBJECT)
    house.claim("accuracy", SHIPS)
    monkeypatch.setenv("CHECKPOINT", "{}")
    result = house.run("-n", "2", "--dist", "each")
    assert result.ret == 1


def test_extending_what_is_not_there_is_a_usage_error(house: House) -> None:
    house.claim("accuracy", SHIPS)
    assert house.run("--extend-report").ret == 4


def test_an_old_report_does_not_outlive_a_run_that_fails_to_start(house: House) -> None:
    house.claim("accuracy", SHIPS)
    house.run()
    house.claim("accuracy", "import nothing_of_that_name")
    assert house.run().ret != 0
    assert not house.report.exists()


def test_declared_failures_alone_judge_nothing(house: House) -> None:
    house.claim("accuracy", "@both\ndef test_it(case, judge): judge.cannot_run('no')")
    house.miss(raises="CannotRun")
    result = house.run("-k", "int4")
    assert result.ret == 1
    assert "NOTHING WAS JUDGED" in result.stdout.str()


def test_what_is_missing_here_is_no_verdict_on_a_board() -> None:
    """A board without the runtime cannot run it; without a compiler here nothing is known."""
    assert verdicts._verdict_of(NoRuntimeError("no wheel for it")) is Verdict.CANNOT_RUN
    assert verdicts._verdict_of(ProvisionError("no compiler")) is Verdict.INVALID


def test_selftests_make_no_record(house: House) -> None:
    folder = house.pytester.path / "suites" / "selftest"
    folder.mkdir()
    (folder / "test_latency.py").write_text("def test_it(): pass")
    assert house.run().ret == 0
    assert not house.report.parent.exists()


def test_collecting_only_leaves_a_report_alone(house: House) -> None:
    house.claim("accuracy", SHIPS)
    house.run()
    assert house.run("--collect-only").ret == 0
    assert house.report.exists()


def test_benchmarks_are_kept_beside_the_verdicts(house: House) -> None:
    house.claim(
        "latency",
        "def test_it(judge, benchmark):\n    benchmark.pedantic(abs, (1,), rounds=3)\n"
        "    judge.holds('rounds', True, '3')",
    )
    result = house.run()
    assert result.ret == 0
    assert json.loads((house.report.parent / "benchmark.json").read_text())["benchmarks"]
    assert sorted(path.name for path in house.report.parent.iterdir()) == [
        "benchmark.json",
        "verdicts.json",
        "verdicts.md",
    ]
    result.stdout.fnmatch_lines(["report: *benchmark.json"])


def test_benchmarks_of_no_claim_are_kept_too(house: House) -> None:
    folder = house.pytester.path / "suites" / "peers"
    folder.mkdir()
    (folder / "test_peer.py").write_text("def test_it(benchmark): benchmark(abs, 1)")
    result = house.run("suites/peers")
    assert result.ret == 0
    assert [path.name for path in house.report.parent.iterdir()] == ["benchmark.json"]
    result.stdout.fnmatch_lines(["report: *benchmark.json"])
    result.stdout.no_fnmatch_line("*may I ship it*")


@pytest.mark.parametrize(
    "group", ["", "@host-litert-float32", "@pi4@qemu-litert-float32", "@pi4@kitchen-litert-int4"]
)
def test_the_group_of_a_worker_is_no_part_of_a_test_s_id(group: str) -> None:
    for test in (
        "suites/test_it.py::test_it[pi4@qemu-litert-float32]",
        "suites/test_it.py::test_it",
    ):
        assert verdicts._own_id(test + group) == test
