"""Fixtures of this room's tests."""

from pathlib import Path

import pytest

from suites.selftest.reports.runs import records, write


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A sound verdict file: both targets ship."""
    return write(tmp_path / "verdicts.json", records())
