"""Stores that are wrong in one way each, and the cases that must find it out: the proof of the kits themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from stackwright_interfaces.definitions import Definitions
from stackwright_interfaces.feature_store import FeatureStore, OfflineStore, OnlineStore, Status
from stackwright_interfaces.testing import broken_joins as joins
from stackwright_interfaces.testing import broken_offline as offline
from stackwright_interfaces.testing import broken_online as online
from stackwright_interfaces.testing import broken_reads as reads
from stackwright_interfaces.testing.faults import Divided
from stackwright_interfaces.testing.histories import US

_Half = TypeVar("_Half")

OfflineFault = Callable[[OfflineStore], OfflineStore]
OnlineFault = Callable[[OnlineStore], OnlineStore]

Maker = Callable[[OfflineFault, OnlineFault], FeatureStore]
"""Makes a fresh store of two correct halves, each put through a function."""


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A store that is wrong in one way.

    Args:
        name: what is wrong.
        cases: the cases that find it out, each of them.
        tests: names of further tests that find it out.
        offline: what is wrong with the offline half.
        online: what is wrong with the online half.
        whole: what is wrong with the store around the halves.
        alter: what the online path takes the definitions for.
    """

    name: str
    cases: tuple[int, ...] = ()
    tests: tuple[str, ...] = ()
    offline: OfflineFault | None = None
    online: OnlineFault | None = None
    whole: Callable[[FeatureStore], FeatureStore] | None = None
    alter: Callable[[Definitions], Definitions] | None = None

    def build(self, make: Maker) -> FeatureStore:
        """Make the whole store."""
        store = make(self.offline or _right, self.online or _right)
        if self.whole is not None:
            store = self.whole(store)
        if self.alter is not None:
            store = Divided(store, online=make(_right, _right), alter=self.alter)
        return store


def _right(half: _Half) -> _Half:
    return half


def _plus(span: timedelta) -> Callable[[timedelta | None], timedelta | None]:
    return lambda age: None if age is None else age + span


def _always_ages(age: timedelta | None) -> timedelta:
    return timedelta(days=365) if age is None else age


BROKEN_OFFLINE: Final = (
    Broken(name="misses a row at the label time", cases=(1,), offline=partial(offline.Shifted, span=-US)),
    Broken(name="sees one microsecond ahead", cases=(2,), offline=offline.Shifted),
    Broken(name="expires a microsecond early", cases=(3,), offline=partial(offline.Ageing, age=_plus(-US))),
    Broken(name="expires a microsecond late", cases=(4,), offline=partial(offline.Ageing, age=_plus(US))),
    Broken(name="never expires", cases=(4, 21), offline=partial(offline.Ageing, age=lambda _: None)),
    Broken(name="always expires", cases=(5,), offline=partial(offline.Ageing, age=_always_ages)),
    Broken(name="expires all views like the strictest", cases=(21,), offline=offline.OneAge),
    Broken(name="takes the nearest row of the future", cases=(2, 6), offline=offline.Nearest),
    Broken(name="takes the row created first", cases=(10,), offline=offline.SmallestCreated),
    Broken(name="breaks full ties by arrival", cases=(11, 28), offline=offline.ArrivalOrder),
    Broken(name="falls back past a null", cases=(12,), offline=offline.NullsPassedOver),
    Broken(name="keeps the first row of a batch", cases=(10,), offline=offline.FirstOfBatch),
    Broken(name="joins null keys", cases=(13,), offline=offline.NullKeysFilled),
    Broken(name="compares the first part of a key only", cases=(14,), offline=offline.Squashed),
    Broken(name="runs the parts of a key together", cases=(15,), offline=offline.Concatenated),
    Broken(name="ignores known_by", cases=(23,), offline=offline.LateRowsKnown),
    Broken(name="ignores as_of", cases=(24,), offline=offline.AlwaysNow),
    Broken(name="takes the watermark of now for that of then", cases=(24,), offline=offline.SinceEver),
    Broken(name="windows reach back too far", cases=(25,), offline=offline.WindowLength),
    Broken(name="windows leave out their older edge", cases=(25,), offline=partial(offline.WindowLength, span=-US)),
    Broken(name="windows hold the asked instant", cases=(25,), offline=offline.WindowsIncludeNow),
    Broken(name="materialises by event time", cases=(38,), offline=offline.ByEventTime),
    Broken(name="does not delete history", cases=(41,), offline=offline.DeletesNothing),
    Broken(name="forgets what was deleted", cases=(41,), offline=offline.ForgetsDeletion),
)
"""Faults of the offline half, found by its own kit and by that of a whole store."""

BROKEN_ONLINE: Final = (
    Broken(name="overwrites the newer with the older", cases=(26,), online=online.Overwriting),
    Broken(name="compares event times only", cases=(27,), online=online.EventTimeOnly),
    Broken(name="tears payloads", cases=(40,), online=online.Torn),
    Broken(name="answers in the order of sorted keys", cases=(34,), online=online.SortedKeys),
    Broken(
        name="stores an equal token again",
        tests=("test_an_equal_token_is_not_stored_again",),
        online=online.EqualOverwrites,
    ),
    Broken(name="compares signed bytes", tests=("test_tokens_compare_as_unsigned_bytes",), online=online.SignedTokens),
    Broken(
        name="says of every row that it was stored",
        tests=("test_a_write_tells_which_rows_were_stored_in_their_order", "test_a_smaller_token_is_refused"),
        online=online.ClaimsAll,
    ),
    Broken(
        name="writes the last row of a batch",
        tests=("test_of_one_key_in_one_call_the_greatest_wins_in_any_order",),
        online=online.LastOfBatch,
    ),
    Broken(
        name="takes an empty payload for none",
        tests=("test_an_empty_payload_is_not_absence",),
        online=online.EmptyIsAbsent,
    ),
    Broken(
        name="removes nothing",
        tests=("test_dropping_keys_removes_them_and_counts", "test_dropping_a_view_removes_its_rows_only"),
        online=online.DropsNothing,
    ),
    Broken(name="scans in part", tests=("test_a_scan_gives_every_row_of_one_view",), online=online.ScansInPart),
)
"""Faults of the online half, found by its own kit, and where they have cases by that of a whole store."""

BROKEN_WHOLE: Final = (
    Broken(name="drops labels without a match", cases=(2, 4, 6, 7), whole=joins.DropsUnmatched),
    Broken(name="fills with zero", cases=(2, 7, 12), whole=joins.FillsZero),
    Broken(name="collapses labels", cases=(8,), whole=joins.CollapsesLabels),
    Broken(name="loses the order of labels", cases=(9,), whole=joins.LosesOrder),
    Broken(name="loses columns of labels", cases=(9,), whole=joins.LosesColumns),
    Broken(name="takes keys of any type", cases=(16,), whole=joins.SwallowsErrors),
    Broken(name="takes naive times for local ones", cases=(17,), whole=joins.LocalTime),
    Broken(name="cuts times to milliseconds", cases=(18,), whole=joins.Milliseconds),
    Broken(name="gives untyped columns", cases=(19, 20), whole=joins.Untyped),
    Broken(name="overwrites columns of labels", cases=(22,), whole=joins.OverwritesColumns),
    Broken(name="counts nothing as null", cases=(25,), whole=joins.EmptyCountIsNull),
    Broken(name="prefers the row created first online too", cases=(27,), offline=offline.SmallestCreated),
    Broken(name="counts a replay twice", cases=(28,), offline=offline.Replaying),
    Broken(name="keeps the first row of a batch online too", cases=(29,), offline=offline.FirstOfBatch),
    Broken(name="goes back to an old state", cases=(30,), offline=offline.EverythingAgain, online=online.Rebuilding),
    Broken(name="ignores max_age online", cases=(31,), alter=reads.without_age),
    Broken(name="expires a microsecond late online", cases=(31,), alter=reads.longer_age),
    Broken(name="takes expired for absent", cases=(31,), whole=reads.StatusBlind),
    Broken(name="takes null for absent", cases=(32,), whole=partial(reads.StatusBlind, status=Status.NULL)),
    Broken(name="ignores a null that is newer", cases=(33,), offline=offline.NullsPassedOver),
    Broken(name="answers a key once", cases=(34,), whole=reads.DistinctKeys),
    Broken(name="refuses an empty request", cases=(35,), whole=reads.RefusesNothing),
    Broken(name="fills what a request lacks", cases=(36,), whole=reads.FillsRequest),
    Broken(name="sorts columns by name", cases=(37,), whole=reads.SortedColumns),
    Broken(name="takes half a materialisation for a whole one", cases=(39,), whole=reads.Presumptuous),
    Broken(name="does not delete online", cases=(41,), online=online.DropsNothing),
    Broken(name="mixes versions of a view", cases=(42,), online=online.VersionBlind),
    Broken(name="refuses new columns", cases=(43,), whole=reads.RefusesNewColumns),
    Broken(name="takes any change of a view", cases=(43,), whole=reads.TakesAnyChange),
    Broken(name="freezes windows", cases=(44,), whole=reads.FrozenWindows),
    Broken(name="brings future rows online", cases=(44,), whole=reads.Early),
    Broken(name="rounds online", cases=(44,), whole=reads.Rounded),
    Broken(name="claims to know more than it does", cases=(44,), whole=reads.ClaimsToKnow),
    Broken(name="has longer windows online", cases=(44,), alter=reads.longer_windows),
    Broken(name="transforms on one path only", cases=(45,), alter=reads.without_transforms),
    Broken(name="leaves out defaults online", cases=(45,), alter=reads.without_defaults),
    Broken(name="has another present online", cases=(45,), whole=reads.OtherClock),
)
"""Faults that show in a whole store only."""
