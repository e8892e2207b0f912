"""Everything a developer runs: ``nox -s tests``, ``nox -s demo``, ``nox -l`` for the rest."""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests"]

ROOT = Path(__file__).parent
LOCK = "requirements.lock"
MEMBERS = ["interfaces", "blueprints", *sorted(str(path.parent) for path in Path("packages").glob("*/pyproject.toml"))]


def install(session: nox.Session) -> None:
    """Install the locked dependencies, and every member of the workspace as it stands here."""
    session.install("--require-hashes", "-r", LOCK)
    session.install("--no-deps", *(argument for member in MEMBERS for argument in ("-e", member)))


@nox.session
def demo(session: nox.Session) -> None:
    """Take the real-time blueprint the whole way on the sample market: ``nox -s demo``."""
    install(session)
    session.env.pop("PYTHONDONTWRITEBYTECODE", None)
    session.run("stackwright", "up", "--project", "demo", "--blueprint", "realtime", "--sample", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Lint, types, import rules, then every test: ``nox -s tests``; arguments go to pytest."""
    install(session)
    lint(session)
    session.run("pytest", "-n", str(os.cpu_count() or 2), "--dist", "worksteal", *session.posargs)


def lint(session: nox.Session) -> None:
    """Check format, lint, strict types and who may import whom."""
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy", *(str(Path(member) / "src") for member in MEMBERS if member != "blueprints"))
    session.run("lint-imports")


@nox.session(name="lint")
def lint_session(session: nox.Session) -> None:
    """Run the static checks alone."""
    install(session)
    lint(session)


VENDORS = ["duckdb", "evidently", "lightgbm", "sklearn", "uvicorn"]


@nox.session
@nox.parametrize("adapter", VENDORS, ids=VENDORS)
def lowest(session: nox.Session, adapter: str) -> None:
    """Test an adapter with its vendors at their lower bounds: ``nox -s "lowest(duckdb)"``."""
    member = f"packages/stackwright-{adapter}"
    session.install("--resolution", "lowest-direct", "-r", f"{member}/pyproject.toml")
    session.install("--no-deps", "-e", member)
    rooms = [f"packages/stackwright-{room}" for room in ("features", "storage", "memory", "numerics", "serving")]
    session.install("pytest", "pytest-timeout", "httpx", "interfaces[testing]", *rooms)
    session.run("pytest", f"{member}/tests")


@nox.session(venv_backend="none")
def full(session: nox.Session) -> None:
    """Run what the tests leave for the night: every adapter at its lower bounds, then the tests with coverage."""
    for adapter in VENDORS:
        session.notify(f"lowest({adapter})")
    session.notify("coverage")


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests and report which lines and branches they reach, child processes included."""
    install(session)
    session.run("pytest", "-n", str(os.cpu_count() or 2), "--cov", "--cov-report=term:skip-covered", *session.posargs)


@nox.session(venv_backend="none")
def lock(session: nox.Session) -> None:
    """Resolve all dependencies anew into ``requirements.lock``."""
    session.run("uv", "lock", "--upgrade")
    arguments = ["--all-packages", "--all-extras", "--all-groups", "--no-emit-workspace", "--no-header"]
    session.run("uv", "export", "--quiet", *arguments, "--format", "requirements-txt", "--output-file", LOCK)
