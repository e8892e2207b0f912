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
COVERAGE = ["--cov", "--cov-report=term:skip-covered"]
TOOLS = ["mlflow==3.17.2"]
"""Programs that tests talk to and that no environment can hold beside the rest: each has one of its own."""
NIGHTLY_TOOLS = ["apache-airflow-core==3.3.2"]
"""Those that nightly tests alone talk to."""

SHORT_NAMES = [Path(member).name.removeprefix("stackwright-") for member in MEMBERS]


def install(session: nox.Session) -> None:
    """Install the locked dependencies, and every member of the workspace as it stands here."""
    session.env["UV"] = nox.virtualenv.UV  # the tests make environments with the uv that made theirs
    session.install("--require-hashes", "-r", LOCK)
    session.install("--no-deps", *(argument for member in MEMBERS for argument in ("-e", member)))


def install_tools(session: nox.Session, *tools: str) -> None:
    """Install programs in environments of their own, and put them on the path."""
    folder = ROOT / ".nox" / "tools"
    where = {"UV_TOOL_DIR": str(folder), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    for tool in tools:
        session.run("uv", "tool", "install", "--quiet", tool, env=where, external=True)
    session.env["PATH"] = os.pathsep.join([where["UV_TOOL_BIN_DIR"], os.environ["PATH"]])


@nox.session
def demo(session: nox.Session) -> None:
    """Take the real-time blueprint the whole way on the sample market: ``nox -s demo``."""
    install(session)
    session.env.pop("PYTHONDONTWRITEBYTECODE", None)
    session.run("stackwright", "up", "--project", "demo", "--blueprint", "realtime", "--sample", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Lint, types, import rules, then the tests but for the nightly ones: ``nox -s tests``."""
    install(session)
    lint(session)
    if os.environ.get("CI") == "true":
        install_tools(session, *TOOLS)
    by_day = [] if "-m" in session.posargs else ["-m", "not nightly"]
    workers = (os.cpu_count() or 2) + 1  # many tests wait for a process that they started
    session.run("pytest", "-n", str(workers), "--dist", "worksteal", *by_day, *session.posargs)


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


S3 = ["stackwright-storage[s3]", "moto[server]"]
PARTS = [
    f"stackwright-{name}"
    for name in ("dask", "duckdb", "files", "lightgbm", "market", "recommender", "sklearn", "sql", "sqlite", "uvicorn")
]
NEEDS = {
    "stackwright": [*PARTS, "stackwright-lightgbm[dask]", *S3],
    "stackwright-blueprints": ["stackwright-market"],
    "stackwright-features": ["stackwright-duckdb", "pandas", "polars"],
    "stackwright-files": S3,
    "stackwright-journal": S3,
    "stackwright-models": ["stackwright", *PARTS],
    "stackwright-postgres": ["stackwright-journal", "stackwright-storage[postgres]"],
    "stackwright-serving": ["httpx"],
    "stackwright-skops": ["stackwright-models"],
    "stackwright-sql": ["stackwright", "stackwright-duckdb"],
    "stackwright-storage": S3,
}
"""What the tests of a member use beside the kits and the rooms."""


@nox.session(reuse_venv=False)
@nox.parametrize("member", MEMBERS, ids=SHORT_NAMES)
def lowest(session: nox.Session, member: str) -> None:
    """Test a member's wheel with each dependency it names at its lower bound: ``nox -s "lowest(duckdb)"``."""
    wheels = Path(session.create_tmp()) / "wheels"
    session.run("uv", "build", "--quiet", "--wheel", "--all-packages", "--clear", "--out-dir", str(wheels), silent=True)
    name = nox.project.load_toml(Path(member) / "pyproject.toml")["project"]["name"]
    extras = [] if name == "stackwright" else ["--all-extras"]  # what [standard] adds has sessions of its own
    fresh = [f"--refresh-package=stackwright-{name.removeprefix('stackwright-')}" for name in SHORT_NAMES]
    ours = ["--quiet", "--no-sources", "--find-links", str(wheels), "--refresh-package=stackwright", *fresh]
    session.install(*ours, "--resolution", "lowest-direct", "-r", f"{member}/pyproject.toml", *extras, name)
    rooms = [f"stackwright-{room}" for room in ("features", "memory", "numerics", "storage")]
    kits = ["stackwright-interfaces[testing]", "pytest-timeout"]
    session.install(*ours, *kits, *rooms, *NEEDS.get(name, []))
    session.run("uv", "pip", "freeze")
    session.run("pytest", "-p", "no:cacheprovider", f"{member}/tests", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run a benchmark, ours and the peers in turn: ``nox -s bench -- start``."""
    install(session)
    session.env.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in session.posargs or ["start"]:
        session.run("python", f"tests/bench/{name}.py")


@nox.session
def proofs(session: nox.Session) -> None:
    """Run the proofs of monitoring, and write what they found into ``docs/proofs.md``."""
    install(session)
    session.run("python", "tests/proofs/run.py", *session.posargs)


@nox.session(venv_backend="none")
def full(session: nox.Session) -> None:
    """Run what the tests leave for the night: every member at its lower bounds, then every test with coverage."""
    for name in SHORT_NAMES:
        session.notify(f"lowest({name})")
    session.notify("coverage")


@nox.session
def matrix(session: nox.Session) -> None:
    """Run the feature store's kit on every store, and write which meets which case into ``docs/matrix.md``."""
    install(session)
    found, page = Path(session.create_tmp()) / "matrix.json", Path("docs/matrix.md")
    suites = sorted(str(path) for path in Path("packages").glob("*/tests/test_conformance.py"))
    session.run("pytest", "-n", str(os.cpu_count() or 2), "-q", "--matrix", str(found), *suites)
    table = session.run("python", "-m", "stackwright_interfaces.testing.matrix", str(found), silent=True)
    head = page.read_text(encoding="utf-8").partition("\n| case")[0]
    page.write_text(f"{head}\n{table}", encoding="utf-8")


@nox.session
def coverage(session: nox.Session) -> None:
    """Run every test, and report which lines and branches they reach, child processes included."""
    install(session)
    install_tools(session, *TOOLS, *NIGHTLY_TOOLS)
    session.run("pytest", "-n", str(os.cpu_count() or 2), *COVERAGE, *session.posargs)


@nox.session(venv_backend="none")
def lock(session: nox.Session) -> None:
    """Resolve all dependencies anew into ``requirements.lock``."""
    session.run("uv", "lock", "--upgrade")
    arguments = ["--all-packages", "--all-extras", "--all-groups", "--no-emit-workspace", "--no-header"]
    session.run("uv", "export", "--quiet", *arguments, "--format", "requirements-txt", "--output-file", LOCK)


@nox.session
def reference(session: nox.Session) -> None:
    """Write the pages of ``docs/reference``, which are made from the code."""
    install(session)
    session.run("python", "docs/site/reference.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into ``site/``, where ``index.html`` opens in a browser, offline: ``nox -s docs``."""
    install(session)
    session.run("python", "docs/site/build.py", "site", *session.posargs)
