"""`report.html`: one file that needs no network and no script, made from verdict files alone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common import atomic
from common.process import run
from reports import operator_profile
from reports.page.view import view
from reports.schema import ReportError, VerdictFile

NAME = "report.html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FOLDER = Path(__file__).parent


def render(
    runs: Sequence[VerdictFile],
    profiles: Sequence[operator_profile.OperatorProfile] = (),
    errors: Sequence[operator_profile.LayerErrors] = (),
) -> str:
    """Return the page of one or several runs, what their time goes to, and where errors come from.

    Raises:
        ReportError: two runs judge the same target.
        ModuleNotFoundError: jinja2 is not installed.
    """
    shown = {
        "profiles": [operator_profile.view(found) for found in profiles],
        "errors": [operator_profile.view_errors(found) for found in errors],
    }
    return from_template("report.html.j2", view(runs) | shown)


def photograph(page: Path, picture: Path) -> None:
    """Write a PNG of the top of a page, 1,000 pixels wide, with Chromium.

    Raises:
        ReportError: there is no Chromium, or it made no picture.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise ReportError("a picture takes Chromium: `apt install chromium`")
    picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "page.png"
        run(
            [
                browser,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={folder}/profile",
                "--window-size=1000,1100",
                f"--screenshot={made}",
                page.absolute().as_uri(),
            ],
            timeout=120,
            error=ReportError,
            what=browser,
        )
        if not made.is_file():
            raise ReportError(f"{browser} made no picture of {page}")
        atomic.write_bytes(picture, made.read_bytes())


def from_template(name: str, values: dict[str, object]) -> str:
    """Return a template of this folder, filled in. Every value is escaped.

    Raises:
        ModuleNotFoundError: jinja2 is not installed.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values) + "\n"
