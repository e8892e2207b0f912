from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stackwright_interfaces.types import TIMESTAMP, Field
from stackwright_serving.values import InvalidValue, RowForm

FORM = RowForm((Field("seen", TIMESTAMP),))


@pytest.mark.parametrize("text", ["2026-03-01T12:00:00Z", "2026-03-01T14:00:00+02:00", "2026-03-01T12:00:00"])
def test_a_time_is_one_of_utc(text: str) -> None:
    assert FORM([{"seen": text}]) == {"seen": [datetime(2026, 3, 1, 12, tzinfo=UTC)]}


@pytest.mark.parametrize("text", ["soon", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="row 0: field 'seen' is no time"):
        FORM([{"seen": text}])
