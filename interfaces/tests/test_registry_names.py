"""Names that registries take, and those that would be read as something else."""

from __future__ import annotations

import pytest

from stackwright_interfaces.errors import UsageError
from stackwright_interfaces.registry_names import check_alias, check_model_name, check_run_id


@pytest.mark.parametrize("name", ["valuation", "pricing/valuation"])
def test_a_name_may_lie_in_a_namespace(name: str) -> None:
    check_model_name(name)


@pytest.mark.parametrize("name", ["valuation@3", "valuation@champion"])
def test_a_reference_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="a reference, not a name"):
        check_model_name(name)


def test_an_alias_is_what_a_reference_can_name() -> None:
    assert check_alias("champion-2.b") == "champion-2.b"


@pytest.mark.parametrize("alias", [None, "", "12"])
def test_an_alias_that_no_reference_finds_is_refused(alias: str | None) -> None:
    with pytest.raises(UsageError, match="not a usable alias"):
        check_alias(alias)


def test_the_id_of_a_run_leads_nowhere_else() -> None:
    check_run_id("20261121T1200-ab.c_d")
    for id_ in ("", "../other", "a/b", ".hidden"):
        with pytest.raises(UsageError, match="not a usable id"):
            check_run_id(id_)
