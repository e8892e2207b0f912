"""What ``/openapi.json`` promises is asked of the running server, by schemathesis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

KEPT = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def described(copied: Any, kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    running = kit.server(copied(tmp_path_factory.mktemp("schema") / "project"))
    kit.until(lambda: running.ask("/health/ready").status == 200)
    yield schemathesis.openapi.from_url(f"{running.url()}/openapi.json")
    running.clear()


def test_every_operation_answers_as_it_is_described(described: Any) -> None:
    asked = []
    for operation in (result.ok() for result in described.get_all_operations()):

        @settings(
            max_examples=12,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def answers_as_described(case: Any) -> None:
            case.call_and_validate(checks=KEPT)

        answers_as_described()
        asked.append(operation.label)
    assert {"POST /predict/valuation", "POST /invocations/valuation", "POST /v2/models/valuation/infer"} <= set(asked)
