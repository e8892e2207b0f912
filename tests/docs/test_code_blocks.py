"""The Python blocks of the docs run, in the order of their page."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from stackwright.assembly import blueprint as blueprints
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.plan import plan
from stackwright.cli.parsing import joined, parser
from stackwright_interfaces.definitions import Definitions

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("packages/*/README.md"),
        *ROOT.glob("interfaces/README.md"),
    ]
    if BLOCK.search(path.read_text(encoding="utf-8"))
)


def test_whoever_asks_by_curl_says_that_it_is_json() -> None:
    pages = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md"), *ROOT.glob("blueprints/*/README.md")]
    asked = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines() if "curl" in line]
    assert asked
    assert not [line for line in asked if " -d " in line and "-H 'Content-Type: application/json'" not in line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType("docs_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        exec(compile(block, str(page), "exec"), vars(module))


LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


COMMAND = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
WRITTEN = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("blueprints/*/README.md")])


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_one_of_ours(page: Path) -> None:
    lines = (line for block in COMMAND.findall(page.read_text(encoding="utf-8")) for line in block.splitlines())
    for line in (line for line in lines if line.startswith("stackwright ")):
        _, *words = shlex.split(re.split(r" [|>&] ?", line)[0], comments=True)
        assert parser().parse_args(joined(words)).verb


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_toml_block_can_be_read_and_whole_blueprints_fit(page: Path, tmp_path: Path) -> None:
    for block in TOML.findall(page.read_text(encoding="utf-8")):
        if "name" in tomllib.loads(block) and not block.startswith("# pyproject.toml"):
            (tmp_path / "blueprint.toml").write_text(block)
            plan(blueprints.read(tmp_path / "blueprint.toml"), Plugins(), Definitions())
