"""The feature store: one definition of a feature, the same value in training, in batch and live.

A :class:`FeatureStore` is whole. Most are composed (by ``stackwright-features``) of an :class:`OfflineStore`, which
keeps history and answers "as of then", and an :class:`OnlineStore`, which keeps one opaque row a (view, key) and
answers "now". Semantics common to all:

- A row is (keys, event time, created time, values). Rows of one key are in one total order, the *order token*: event,
  created, hash of the content. The newest row at ``t`` is the greatest with ``event <= t``.
- ``max_age`` expires a row on both paths: ``event >= t - max_age`` still counts. Windows hold expired rows still.
- A window aggregates ``[t - length, t)``. Of a key without rows, ``count`` and ``distinct`` are 0 and the others null.
- A null key joins nothing; every window of it is null. Null is not NaN.
- Times are UTC with microseconds. A row with a future event time waits until it is due.
- A deletion is remembered for the entity: rows of a deleted key whose created time is not after the deletion are
  refused by each of its views, also by one that is applied later.

Any thread may use a store or a half at any time, until it is closed. ``read`` and ``join`` run at the same time as each
other and as a writer, and see of each online row, or of each view's history, one state: that before or that after a
change. Of calls that change the same data (``apply``, ``ingest``, ``materialize``, ``delete``; ``write``, ``drop``) one
at a time is carried out in a process: the store makes the others wait. What several processes may do is the adapter's
to say.

Tables cross as Arrow streams (:class:`ArrowStream`); online rows as bytes; online results as plain columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from stackwright_interfaces.definitions import Definitions, FeatureView

CONTRACT: Final = 1

EVENT: Final = "__event"
CREATED: Final = "__created"
ORDER: Final = "__order"
ROW: Final = "__row"


class ArrowStream(Protocol):
    """A table of any library that speaks the Arrow PyCapsule protocol. Consumable once.

    Its rows may be made while it is consumed: who takes them batch by batch needs little memory, and who fails on the
    way leaves everything as it was.
    """

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


@dataclass(frozen=True, order=True)
class Watermark:
    """How much of a view was known: what was ingested, and which event times were admitted.

    Args:
        position: number of the last ingestion that counts (``IngestReport.position``); 0 is none.
        due: event times up to here (inclusive) count.
    """

    position: int
    due: datetime


class Status(IntEnum):
    """Why an online feature has the value it has."""

    PRESENT = 0
    NULL = 1
    NOT_FOUND = 2
    EXPIRED = 3
    DEFAULTED = 4


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What an ingestion did.

    Args:
        rows: rows handed over.
        added: rows that were new.
        duplicates: rows that were there already, to the last value.
        future: rows whose event time is after the store's clock; kept, and admitted when due.
        assumed_utc: naive times taken as UTC.
        refused: rows of keys that were deleted at or after their created time, or with a null key or event time.
        position: number of this ingestion, greater than that of the view's last; one that adds nothing has one too.
    """

    view: str
    rows: int
    added: int
    duplicates: int = 0
    future: int = 0
    assumed_utc: int = 0
    refused: int = 0
    position: int = 0


@dataclass(frozen=True, kw_only=True)
class MaterializeReport:
    """What a materialisation did for one view."""

    view: str
    rows: int
    written: int
    watermark: Watermark


@dataclass(frozen=True, kw_only=True)
class FeatureRows:
    """What an online read gives: columns in the service's order.

    Args:
        names: the service's outputs.
        columns: name → values, one a row: float64 arrays with NaN where null for numbers and booleans, object
            arrays with ``None`` where null for everything else (timestamps are ``datetime64[us]`` with ``NaT``).
        statuses: name → array of :class:`Status` values.
        events: view reference → event times as ``datetime64[us]``, ``NaT`` where no row was found.
        watermarks: view reference → how much the rows knew, where it is known.
        at: the instant of the read.
    """

    names: tuple[str, ...]
    columns: Mapping[str, Any]
    statuses: Mapping[str, Any]
    events: Mapping[str, Any] = field(default_factory=dict)
    watermarks: Mapping[str, Watermark] = field(default_factory=dict)
    at: datetime


class FeatureStore(ABC):
    """A whole feature store."""

    @abstractmethod
    def apply(self, definitions: Definitions) -> None:
        """Make these definitions the ones in force; what was stored stays.

        Raises:
            VersionRequired: a view or service means something else than under the same version before.
        """

    @abstractmethod
    def ingest(self, view: str, table: ArrowStream) -> IngestReport:
        """Add rows to a view (``name@version``): keys, times as its source names them, values. All or nothing.

        Raises:
            UnknownName: no such view.
            DataError: a column is missing or cannot be what it is declared to be.
        """

    @abstractmethod
    def join(
        self,
        service: str,
        labels: ArrowStream,
        *,
        time: str = "event_time",
        known_by: bool = False,
        as_of: Mapping[str, Watermark] | datetime | None = None,
    ) -> ArrowStream:
        """Return the label rows (same rows, order and columns) with the service's outputs behind them.

        Args:
            service: ``name@version``.
            labels: keys and request fields of the service, a time column, and any others.
            time: the column that says at which instant each row asks.
            known_by: pass over rows created after the asked instant.
            as_of: pass over what was ingested after this; per view reference, or one instant for all.

        Raises:
            UnknownName: no such service.
            DataError: a key, request field or the time column is missing or of another type.
        """

    @abstractmethod
    def materialize(
        self,
        views: Sequence[str] = (),
        *,
        at: datetime | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[MaterializeReport]:
        """Bring online what was ingested or became due since the last time, for these views or all.

        Args:
            at: the present; rows with a later event time wait.
            progress: called with (view, rows done, rows in all).
        """

    @abstractmethod
    def read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> FeatureRows:
        """Return the service's outputs for each key, in the order of the keys, doubles included.

        Args:
            keys: request key → values; all of one length.
            request: request field → values.
            at: the present, which ages and windows are taken at.
            timeout: seconds.

        Raises:
            UnknownName: no such service.
            DataError: a key or request field is missing, of another length or type.
            StoreTimeout: the deadline passed.
        """

    @abstractmethod
    def delete(self, entity: str, keys: Mapping[str, Sequence[Any]]) -> int:
        """Remove these keys from history and online. Return rows removed.

        Rows of them that were created by now stay out when they come again, whichever view of the entity they come to.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""


@dataclass(frozen=True, kw_only=True)
class Computed:
    """Rows that a computation gave, as they are ingested.

    Args:
        rows: keys, fields, event time and created time, named as the view's source has them.
        positions: input view → position of its last ingestion that was read.
    """

    rows: ArrowStream
    positions: Mapping[str, int]


@runtime_checkable
class SupportsComputing(Protocol):
    """A feature store that computes views from its other views (``Capability.COMPUTES``)."""

    def compute(self, view: str, start: datetime, end: datetime) -> Computed:
        """Return the rows of a computed view for ``[start, end)``; nothing is stored.

        Raises:
            UnknownName: no such view.
            DefinitionError: it is not computed, or its function or SQL fails or gives something else than declared.
            FeatureStoreError: it is computed by SQL, and the offline half runs none.
        """
        ...

    def known_inputs(self, view: str) -> Mapping[str, int]:
        """Return for each view that a computed view reads the position of its last ingestion.

        Raises:
            UnknownName: no such view.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an offline join is asked for: some features of one view.

    Args:
        view: the view.
        keys: key of the entity → column of the label table that holds it, of the same Arrow type.
        features: stored column or window → name of the output column.
        as_of: how much to know; ``None`` knows all.
    """

    view: FeatureView
    keys: Mapping[str, str]
    features: Mapping[str, str]
    as_of: Watermark | None = None


class OfflineStore(ABC):
    """The half that keeps history.

    Rows arrive normalised: key and value columns of the declared Arrow types, and beside them ``__event`` and
    ``__created`` (``timestamp[us, UTC]``) and ``__order`` (the order token, ``fixed_size_binary(24)``), none of these
    null. Arrow types: bool, int64, double, string, binary, ``timestamp[us, UTC]``, decimal128(p, s), list,
    fixed_size_list<double>[n].
    """

    @abstractmethod
    def apply(self, views: Sequence[FeatureView]) -> None:
        """Prepare for these views; a view gains columns (null in old rows) but never loses or changes one."""

    @abstractmethod
    def ingest(self, view: FeatureView, rows: ArrowStream) -> IngestReport:
        """Add rows, durably and all or nothing; rows present already (same keys and order token) count as duplicates.

        ``rows`` may be more than memory holds, and its stream may end with an error: then nothing is added. Rows with a
        null key are refused, and rows of a deleted key whose created time is not after the deletion.
        """

    @abstractmethod
    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Answer as of each label.

        Args:
            labels: ``__row`` (int64, 0 to n - 1, ascending), ``__event`` (the asked instant, never null) and the key
                columns that ``asked`` names.

        Returns:
            ``n`` rows ordered by ``__row``: ``__row``, and for each ``Asked`` number ``i`` ``__event_{i}`` (event time
            of the matched row, null where none) and its output columns. Windows are computed by
            ``stackwright_numerics.windows``, so that every engine gives the same bits.
        """

    @abstractmethod
    def changes(
        self, view: FeatureView, since: Watermark | None, until: Watermark, *, history: timedelta | None = None
    ) -> Iterator[ArrowStream]:
        """Give in chunks, ordered by key, the rows admitted by ``until`` but not by ``since``. No chunk is empty.

        With ``history``, give instead for every key with such a row all rows admitted by ``until`` whose event time is
        at or after ``until.due - history``, and always its newest; a key's rows stay within one chunk.
        """

    @abstractmethod
    def watermark(self, view: FeatureView, at: datetime | None = None) -> Watermark:
        """Return the last position of the view that was ingested by ``at`` (``None``: by now), due at that instant."""

    @abstractmethod
    def delete(self, views: Sequence[FeatureView], keys: ArrowStream, at: datetime) -> int:
        """Remove the rows of these keys from these views of one entity. Return rows removed.

        That a key was deleted at this instant is remembered for the entity, also where it had no rows, and holds for
        views applied later too; of several deletions the latest counts.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """An online row, opaque but for its order token: tokens of one view have one length and compare as bytes."""

    key: bytes
    order: bytes
    payload: bytes


Payloads: TypeAlias = Sequence[Sequence[bytes | None]]
"""For each view the payloads of its keys."""


class OnlineStore(ABC):
    """The half that answers now: one opaque row a (view, key)."""

    @abstractmethod
    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store each row whose token is greater than the stored one's, or whose key is new; tell which were stored.

        Durable when it returns, atomic a row: a reader sees the old or the new payload. Of rows with one key in one
        call the greatest wins; an equal token is not stored again.
        """

    @abstractmethod
    def read(self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None) -> Payloads:
        """Return payloads: for each view those of its keys, in their order, doubles included, ``None`` if absent.

        Payloads of one view are a list, or :class:`~stackwright_interfaces.online_rows.StridedPayloads`, which costs
        less where many have one size.

        Raises:
            StoreTimeout: the deadline (seconds) passed.
            FeatureStoreError: the store cannot be reached or is damaged.
        """

    @abstractmethod
    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Give every row of a view, in any order."""

    @abstractmethod
    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Remove these keys, or the whole view; return how many rows were removed."""

    @abstractmethod
    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""


@runtime_checkable
class SupportsReaders(Protocol):
    """An online store whose rows other processes may read while this one writes (``Capability.READERS``)."""

    def reader(self) -> OnlineStore:
        """Open a second, read-only handle; its ``write`` and ``drop`` raise ``FeatureStoreError``."""
        ...


@runtime_checkable
class SupportsSQL(Protocol):
    """An offline store that runs SQL over tables it is handed (``Capability.SQL``)."""

    def sql(self, query: str, tables: Mapping[str, ArrowStream]) -> ArrowStream:
        """Return the result of one SELECT; it sees these tables alone, no file and no history.

        Raises:
            FeatureStoreError: the query is not understood, or fails.
        """
        ...
