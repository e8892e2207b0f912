"""Strongest directions: those of the dense decomposition, and the same each time they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from stackwright_recommender.interactions import Interactions
from stackwright_recommender.retrieval.factors import Factors
from stackwright_recommender.spectrum import strongest


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_they_span_what_the_dense_decomposition_does(shape: tuple[int, int]) -> None:
    matrix = sp.random(*shape, density=0.4, format="csr", random_state=3, dtype=np.float64)
    found = strongest(matrix, 4)
    _, _, right = np.linalg.svd(matrix.toarray(), full_matrices=False)
    assert found.shape == (shape[1], 4)
    np.testing.assert_allclose(np.abs(np.sum(found * right[:4].T, axis=0)), 1.0, atol=1e-9)


def test_repeated_singular_values_give_the_same_numbers_each_time() -> None:
    blocks = sp.block_diag([np.ones((3, 2))] * 40, format="csr")
    first, second = strongest(blocks, 16), strongest(blocks, 16)
    np.testing.assert_array_equal(first, second)
    users, items = np.nonzero(blocks.toarray())
    known = Interactions.of(users, items)
    states = []
    for _ in range(2):
        factors = Factors(size=16, scale=0.0)
        factors.fit(known, None)  # type: ignore[arg-type]
        states.append(factors.state()["out"])
    np.testing.assert_array_equal(*states)
