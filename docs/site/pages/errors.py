"""Every error, with the status that it has over HTTP."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from pages.cells import prose, table
from stackwright_interfaces import errors as tree
from stackwright_serving.exchange import status_of

_HELPS = "What helps: "


def errors() -> Iterator[str]:
    """Give the page of the errors."""
    yield "# The errors\n"
    yield (
        "Every error is a `StackwrightError` and says three things: where, what was found, what to do. The "
        "command line prints that and exits with 1, or with 2 for a `UsageError`; over HTTP it becomes a JSON "
        "body with the status below; in Python the parts are `error.where`, `error.found`, `error.todo`.\n"
    )
    found = [item for item in vars(tree).values() if inspect.isclass(item) and issubclass(item, tree.StackwrightError)]
    yield from table(("error", "HTTP", "means", "what helps"), map(_row, found))


def _row(error: type[tree.StackwrightError]) -> tuple[str, ...]:
    first, _, rest = (inspect.getdoc(error) or "").partition("\n\n")
    helps = rest.removeprefix(_HELPS).partition("\n\n")[0] if rest.startswith(_HELPS) else ""
    direct = error.__bases__[0] in (Exception, tree.StackwrightError)
    name = f"`{error.__name__}`" if direct else f"`{error.__name__}`, a `{error.__bases__[0].__name__}`"
    return name, str(status_of(error("where", "found"))), prose(first).rstrip("."), prose(helps).rstrip(".")
