"""What users took whose histories are alike: neighbours of the session among all users.

Session-based nearest neighbours (Ludewig, Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 28,
2018) over whole histories: users are weighted by a power of their cosine to the session.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.interactions import Interactions, Sessions
from stackwright_recommender.retrieval.contract import State
from stackwright_recommender.retrieval.dense import DenseRetriever


class Neighbours(DenseRetriever):
    """Users like the session.

    Args:
        power: of the cosine: the greater, the fewer users decide.
        half_life: items back at which the session's weights halve, for a signal of its own.
        most: users that are kept, those who came last; memory and time of a request grow with them.
    """

    name: ClassVar[str] = "neighbours"

    def __init__(self, *, power: float = 4.0, half_life: float = 20.0, most: int = 50_000) -> None:
        self.power = power
        self.half_life = half_life
        self.most = most

    @property
    def signals(self) -> tuple[str, ...]:
        """By the whole history, and by its newest part."""
        return (self.name, f"{self.name}_{self.half_life:g}")

    def options(self) -> dict[str, Any]:
        """Return the options."""
        return {"power": self.power, "half_life": self.half_life, "most": self.most}

    def fit(self, interactions: Interactions, items: Catalogue) -> None:
        """Keep the histories."""
        del items
        last = np.zeros(interactions.users)
        np.maximum.at(last, interactions.user, interactions.time)
        kept = np.sort(np.argsort(-last, kind="stable")[: self.most])
        histories = interactions.matrix[kept]
        histories.eliminate_zeros()  # what was seen and not liked makes nobody alike
        self._settle(histories)

    def _settle(self, histories: Any) -> None:
        self._histories = histories
        lengths = np.sqrt(np.asarray(histories.multiply(histories).sum(axis=1)).ravel())
        self._unit = (sp.diags(1 / np.maximum(lengths, 1e-12)) @ histories).tocsr()

    def state(self) -> State:
        """Return the histories."""
        return {part: getattr(self._histories, part) for part in ("data", "indices", "indptr")}

    def restore(self, state: State, items: Catalogue) -> None:
        """Take histories; nobody took new items."""
        try:
            parts = tuple(state[part] for part in ("data", "indices", "indptr"))
            self._settle(sp.csr_matrix(parts, shape=(len(parts[2]) - 1, len(items))))
        except (KeyError, ValueError) as error:
            raise ArtifactError("neighbours", f"damaged ({error!r})", "Train the recommender again.") from error

    def all_scores(self, sessions: Sessions) -> NDArray[Any]:
        """Return the score of each item by each signal. A history that is the session itself tells nothing."""
        taken = sessions.matrix().astype(bool)
        own = (taken @ self._histories.astype(bool).T.astype(np.float32)).toarray()
        sizes = np.asarray(taken.sum(axis=1)).ravel()
        same = (own == np.maximum(sizes, 1)[:, None]) & (own == self._histories.getnnz(axis=1)[None])
        answer = np.empty((2, len(sessions), sessions.items), dtype=np.float32)
        for number, half_life in enumerate((None, self.half_life)):
            history = sessions.matrix(half_life)
            lengths = np.sqrt(np.asarray(history.multiply(history).sum(axis=1)).ravel())
            cosine = (history @ self._unit.T).toarray() / np.maximum(lengths, 1e-12)[:, None]
            cosine[same] = 0.0
            answer[number] = np.asarray((self._histories.T @ (cosine**self.power).T).T)
        answer[:, sessions.sizes == 0] = np.nan
        return answer
