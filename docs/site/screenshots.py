"""Takes the pictures of the docs from a console that runs: ``python docs/site/screenshots.py PROJECT``.

The project is one that ``stackwright up --sample`` made. Needs Chromium.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

IMAGES: Final = Path(__file__).parents[1] / "images"
PAGES: Final = {"console-models": "/models", "console-features": "/features", "console-monitor": "/monitors/valuation"}
WIDTH: Final = 1100
HEIGHT: Final = 560
QUALITY: Final = 60


@contextmanager
def console(project: str) -> Iterator[str]:
    """Run a console over a project; give its address."""
    command = [sys.executable, "-m", "stackwright.cli.main", "console", "--port", "0", "--project", project]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as running:
        assert running.stderr is not None
        try:
            yield next(found[0] for line in running.stderr if (found := re.search(r"http://[\d.]+:\d+", line)))
        finally:
            running.terminate()


def main(project: str) -> None:
    """Take every picture."""
    IMAGES.mkdir(exist_ok=True)
    with console(project) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for name, path in PAGES.items():
            page.goto(address + path)
            page.screenshot(path=IMAGES / f"{name}.jpg", type="jpeg", quality=QUALITY)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
