"""Reads: all views of a call in one round trip."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, NamedTuple

from redis.exceptions import RedisError

from stackwright_interfaces.feature_store import OnlineRow, Payloads
from stackwright_interfaces.online_rows import order_of, payload_of
from stackwright_redis.failures import damaged, translate
from stackwright_redis.layout import arguments, command, command_ending
from stackwright_redis.places import Names, Place
from stackwright_redis.plugin import RedisConfig
from stackwright_redis.pool import Pool
from stackwright_redis.shared_rows import cuts_of, payloads_of

CHUNK: Final = 1000
"""Keys a command, so that no command keeps the server from its other clients for long."""

_PAGE: Final = b"200"
_VIEWS: Final = 1024


class _Known(NamedTuple):
    """What the catalogue said of some views, and what follows from it.

    Attributes:
        entries: what it said.
        places: where the views therefore lie.
        views: hash → numbers of the views in it.
        question: how it is asked again.
    """

    entries: list[bytes | None]
    places: list[Place]
    views: dict[bytes, list[int]]
    question: bytes


class Server:
    """What is asked of the server, by a store and by its readers."""

    def __init__(self, config: RedisConfig) -> None:
        self._pool = Pool(config.url, config.timeout, config.pool_size, config.busy_wait)
        self._known: dict[tuple[str, ...], _Known] = {}
        self.names = Names(config.prefix)
        self.where = self._pool.where

    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], timeout: float | None) -> Payloads:
        """Return payloads, as :meth:`OnlineStore.read` says."""
        deadline = time.monotonic() + (self._pool.timeout if timeout is None else timeout)
        keys = [asked for _, asked in zip(views, keys, strict=True)]
        if not any(keys):
            return [[] for _ in views]
        chosen = tuple(views)
        known = self._known.get(chosen) or self._learn(chosen, [None] * len(chosen))
        # A view that lies where it was thought, as the catalogue says at the end, lay there when its rows were read:
        # what is left of it elsewhere is removed later.
        while True:
            targets, commands = _targets(known.views, keys)
            *replies, entries = self.ask(b"".join((*commands, known.question)), len(commands) + 1, deadline=deadline)
            if entries == known.entries:
                return self._answer(views, known.places, targets, replies)
            known = self._learn(chosen, entries)

    def _learn(self, views: tuple[str, ...], entries: list[bytes | None]) -> _Known:
        if len(self._known) >= _VIEWS:
            self._known.clear()
        places = [self.names.place(view, entry) for view, entry in zip(views, entries, strict=True)]
        views_of: dict[bytes, list[int]] = {}
        for number, place in enumerate(places):
            views_of.setdefault(place.hash, []).append(number)
        question = command(b"HMGET", self.names.catalogue, *(view.encode() for view in views))
        known = self._known[views] = _Known(entries, places, views_of, question)
        return known

    def _answer(
        self, views: Sequence[str], places: Sequence[Place], targets: Iterable[_Target], replies: Sequence[Any]
    ) -> Payloads:
        left = iter(replies)
        answers: list[Sequence[bytes | None]] = [[]] * len(views)
        for parts, numbers in targets:
            found = next(left) if parts == 1 else list(chain.from_iterable(islice(left, parts)))
            try:
                payloads = payloads_of(found, [places[number].name for number in numbers])
            except ValueError as error:
                raise damaged(self.where, views[numbers[0]]) from error
            for number, column in zip(numbers, payloads, strict=True):
                answers[number] = column
        return answers

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view once."""
        ((entry,),) = self.ask(command(b"HMGET", self.names.catalogue, view.encode()), 1)
        place = self.names.place(view, entry)
        for key, value in self.fields(place.hash):
            try:
                if not place.name:
                    yield OnlineRow(key, order_of(value), payload_of(value))
                elif part := cuts_of(value).parts.get(place.name):
                    yield OnlineRow(key, value[part.order], value[part.payload])
            except (IndexError, ValueError) as error:
                raise damaged(self.where, view) from error

    def fields(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give every field of a hash and its value once; the server may name it twice while its table grows."""
        seen: set[bytes] = set()
        cursor = b"0"
        while True:
            (reply,) = self.ask(command(b"HSCAN", name, cursor, b"COUNT", _PAGE), 1)
            cursor, flat = reply
            for key, value in zip(flat[::2], flat[1::2], strict=True):
                if key not in seen:
                    seen.add(key)
                    yield key, value
            if cursor == b"0":
                return

    def ask(self, commands: bytes, replies: int, *, deadline: float | None = None) -> list[Any]:
        """Send commands that change nothing.

        Raises:
            StoreTimeout: the deadline (``time.monotonic``) passed.
            FeatureStoreError: the server cannot be reached, or refuses.
        """
        deadline = time.monotonic() + self._pool.timeout if deadline is None else deadline
        try:
            return self._pool.call(commands, replies, deadline, repeatable=True)
        except RedisError as error:
            raise translate(error, self.where, reading=True) from error

    def change(self, commands: bytes) -> Any:
        """Send one command that changes something; one that fails may have been carried out.

        Raises:
            RedisError: of redis-py.
        """
        (answer,) = self._pool.call(commands, 1, time.monotonic() + self._pool.timeout, repeatable=False)
        return answer

    def close(self) -> None:
        """Close the connections of this process."""
        self._pool.close()


_Target = tuple[int, list[int]]


def _targets(
    views: Mapping[bytes, Sequence[int]], keys: Sequence[Sequence[bytes]]
) -> tuple[list[_Target], list[bytes]]:
    """Return how many commands ask each hash, and for which views; and the commands."""
    targets: list[_Target] = []
    commands: list[bytes] = []
    packed: dict[int, list[tuple[int, bytes]]] = {}  # several hashes are mostly asked for one list of keys
    for name, numbers in views.items():
        left = numbers
        while left:
            asked = keys[left[0]]
            if id(asked) not in packed:
                packed[id(asked)] = _packed(asked)
            parts = packed[id(asked)]
            targets.append((len(parts), [number for number in left if keys[number] is asked]))
            commands += [command_ending(b"HMGET", name, rest=rest, count=count) for count, rest in parts]
            left = [number for number in left if keys[number] is not asked]
    return targets, commands


def _packed(keys: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Return the keys of each command, counted and packed."""
    chunks = (keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK))
    return [(len(chunk), arguments(chunk)) for chunk in chunks]
