"""What Redis and the network complain about, in the words of the feature store."""

from __future__ import annotations

from typing import Final

from redis import exceptions

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout

_PERMISSION: Final = (
    "this user may not do that",
    "Grant it what the README of stackwright-redis lists, or name another user in url.",
)

_STRANGER: Final = ("user or password is refused", "Correct them in url.")

_BY_CLASS: Final[tuple[tuple[type[exceptions.RedisError], tuple[str, str]], ...]] = (
    (exceptions.AuthenticationError, _STRANGER),
    (exceptions.AuthorizationError, _PERMISSION),
    (exceptions.NoPermissionError, _PERMISSION),
    (exceptions.BusyLoadingError, ("the server has started and is still loading its data", "Try again in a moment.")),
    (
        exceptions.OutOfMemoryError,
        (
            "the server has no memory left for more rows",
            "Raise its maxmemory, or drop views, and run the command again: no row was half written.",
        ),
    ),
    (exceptions.ReadOnlyError, ("the server is a replica, which takes no writes", "Name the primary in url.")),
    (
        exceptions.ClusterError,
        (
            "the server is one node of a cluster",
            "Name a server, or a proxy, that holds all rows: clusters are not supported.",
        ),
    ),
    (
        exceptions.ConnectionError,
        (
            "the server cannot be reached, or broke off the connection",
            "Start it, or correct url. What was stored before that will not be stored twice.",
        ),
    ),
)
_BY_TEXT: Final = (
    ("unauthenticated", _STRANGER),  # how long commands are refused
    ("MISCONF", ("the server cannot save to its disk and refuses writes", "Make room on the server's disk.")),
    ("WRONGTYPE", ("another program keeps something else under this name", "Choose another prefix.")),
    (
        "MOVED",
        ("the server is one node of a cluster", "Name a server that holds all rows: clusters are not supported."),
    ),
    ("BUSY", ("a script of another program keeps the server busy", "Wait for it, or end it.")),
    ("NOREPLICAS", ("the server refuses writes while it has too few replicas", "Start them.")),
    ("ACL failure", _PERMISSION),
)


def translate(error: exceptions.RedisError, where: str, *, reading: bool) -> FeatureStoreError:
    """Return the error to raise for one of redis-py's."""
    if isinstance(error, exceptions.TimeoutError):
        if reading:
            return timed_out(where, str(error))
        return FeatureStoreError(where, f"no answer in time ({error})", "See what keeps the server, or raise timeout.")
    by_class = next((known for kind, known in _BY_CLASS if isinstance(error, kind)), None)
    by_text = next((known for text, known in _BY_TEXT if text in str(error)), ("Redis failed", ""))
    found, todo = by_class or by_text
    return FeatureStoreError(where, f"{found} ({error})", todo)


def timed_out(where: str, why: str) -> StoreTimeout:
    """Return the error for a read that took too long."""
    return StoreTimeout(
        where, f"the read did not end before its deadline ({why})", "Ask for fewer keys, or allow more time."
    )


def closed(where: str) -> FeatureStoreError:
    """Return the error for a store that is used after it was closed."""
    return FeatureStoreError(where, "the online store was closed", "Open it again.")


def damaged(where: str, view: str) -> FeatureStoreError:
    """Return the error for a value that this package did not write."""
    found = f"a row of view {view!r} is not one that stackwright wrote"
    return FeatureStoreError(where, found, "Choose another prefix, or drop the view and materialize it again.")
