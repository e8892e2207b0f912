"""A client that leaves nothing behind where it cannot connect."""

from __future__ import annotations

from typing import Any

from distributed import Client


class TidyClient(Client):  # type: ignore[misc] # Dask is typed in part only
    """Closes itself before it raises that it cannot connect.

    Dask's own is closed when it is collected, and waits there for a lock that is held while another one's loop starts:
    collected in that very moment, by the thread of that loop, it waits for ever.
    """

    def start(self, **options: Any) -> None:
        """Connect; called as the client is made."""
        try:
            super().start(**options)
        except BaseException:
            self.close()
            self._loop_runner.stop()  # which closing leaves out where the client closed itself
            raise
