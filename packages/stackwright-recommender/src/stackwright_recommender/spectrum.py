"""The strongest directions of a sparse matrix: a truncated singular value decomposition that is the same each time.

``scipy.sparse.linalg.svds`` is not: where singular values repeat, ARPACK draws vectors of its own, each time others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh


def strongest(matrix: Any, size: int) -> NDArray[np.float64]:
    """Return columns × size: right singular vectors, those of the greatest singular values first.

    They come of the eigenvectors of the smaller of both products of the matrix with itself (Lehoucq, Sorensen, Yang,
    "ARPACK users' guide", 1998).

    Args:
        matrix: sparse, of float64.
        size: fewer than rows and columns.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    n = tall.shape[1]
    product = LinearOperator((n, n), matvec=lambda vector: tall.T @ (tall @ vector), dtype=np.float64)
    _, inner = eigsh(product, k=size, v0=np.ones(n), rng=0)
    inner, _ = np.linalg.qr(inner)
    left, _, right = np.linalg.svd(tall @ inner, full_matrices=False)
    return np.asarray(inner @ right.T if tall is matrix else left)
