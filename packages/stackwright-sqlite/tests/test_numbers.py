"""Numbers of keys."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.types import INT64
from stackwright_numerics.columns import Column
from stackwright_numerics.keys import encode_keys
from stackwright_sqlite.numbers import numbers_of

INTEGERS = st.integers(-(2**63), 2**63 - 1)


def encoded(values: list[int]) -> list[bytes]:
    keys = encode_keys([Column(np.array(values, np.int64), np.ones(len(values), np.bool_))], [INT64])
    return [key for key in keys if key is not None]


@given(st.lists(INTEGERS, min_size=2, unique=True))
def test_different_integers_have_different_numbers(values: list[int]) -> None:
    assert len(set(numbers_of(encoded(values)))) == len(values)


@given(st.lists(st.one_of(st.binary(max_size=20), INTEGERS.map(lambda value: encoded([value])[0]))))
def test_the_number_of_a_key_does_not_depend_on_the_keys_beside_it(keys: list[bytes]) -> None:
    assert list(numbers_of(keys)) == [numbers_of([key])[0] for key in keys]


@given(st.lists(st.binary(max_size=20)))
def test_numbers_fit_into_a_row_s_place(keys: list[bytes]) -> None:
    assert all(-(2**63) <= number < 2**63 for number in numbers_of(keys))


def test_numbers_are_the_same_in_every_process() -> None:
    program = "from stackwright_sqlite.numbers import numbers_of; print(*numbers_of([b'key', b'']))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(number) for number in numbers_of([b"key", b""])]
