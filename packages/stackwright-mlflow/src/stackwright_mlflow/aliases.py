"""Aliases in MLflow's own books: shown there from our journal, and what was moved there past it is told.

The journal alone decides. MLflow has no compare-and-set, so its aliases are a picture of the journal: whoever wrote a
line paints it, looks again, and paints anew while lines have come in.
"""

from __future__ import annotations

import logging
import time
from threading import Lock
from typing import Final

from stackwright_interfaces.errors import RegistryError
from stackwright_mlflow.journal import Journal, State
from stackwright_mlflow.shelf import Shelf

PATIENCE: Final = 0.3
"""Seconds that another process gets to paint what it has just written."""

_log = logging.getLogger("stackwright_mlflow")


class Picture:
    """The aliases of our models in MLflow."""

    def __init__(self, journal: Journal, shelf: Shelf) -> None:
        self._journal = journal
        self._shelf = shelf
        self._told: set[tuple[str, str, int | None, int | None]] = set()
        self._lock = Lock()

    def paint(self, name: str) -> None:
        """Let MLflow's aliases of a model be those of the journal; others that people set there are left alone."""
        state = self._journal.known
        try:
            while True:
                wanted = _wanted(state, name)
                shown = self._shelf.aliases(name) if wanted else {}
                wrong = [alias for alias, number in wanted.items() if shown.get(alias) != number]
                if not wrong:
                    return
                for alias in wrong:
                    self._shelf.set_alias(name, alias, wanted[alias])
                newest = self._journal.state()
                if newest.moves == state.moves:
                    return
                state = newest
        except RegistryError as error:
            _log.warning("The line is written, but MLflow does not show the aliases of %r yet. %s", name, error)

    def look(self, name: str) -> None:
        """Tell once of each alias that points elsewhere in MLflow than the journal says, also a moment later."""
        if not self._news(self._journal.known, name):
            return
        time.sleep(PATIENCE)
        for alias, (ours, theirs) in self._news(self._journal.state(), name).items():
            with self._lock:
                self._told.add((name, alias, ours, theirs))
            _log.warning(
                "Alias %r of %r points to %s in MLflow, but to %s by the journal: it was moved or removed there past "
                "this registry, or a promotion died half-way. The journal counts; the next promotion or publication "
                "of this model corrects MLflow.",
                alias,
                name,
                _shown(theirs),
                _shown(ours),
            )

    def _news(self, state: State, name: str) -> dict[str, tuple[int | None, int | None]]:
        wanted = _wanted(state, name)
        if not wanted:
            return {}
        shown = self._shelf.aliases(name)
        found = {alias: (ours, shown.get(alias)) for alias, ours in wanted.items() if shown.get(alias) != ours}
        with self._lock:
            return {alias: pair for alias, pair in found.items() if (name, alias, *pair) not in self._told}


def _wanted(state: State, name: str) -> dict[str, int | None]:
    """Return every alias that was ever set, and where it points to now."""
    aliases = state.aliases.get(name, {})
    return {alias: aliases.get(alias) for alias in sorted(state.known.get(name, ()))}


def _shown(number: int | None) -> str:
    return "nothing" if number is None else f"version {number}"
