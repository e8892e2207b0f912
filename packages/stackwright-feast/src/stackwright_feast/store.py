"""A Feast repository as a whole feature store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from stackwright_feast.files import Files
from stackwright_feast.offline import FeastOfflineStore
from stackwright_feast.online import FeastOnlineStore
from stackwright_feast.plugin import FeastConfig
from stackwright_feast.repository import Repository
from stackwright_feast.serving import materialise_existing
from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import Definitions
from stackwright_interfaces.feature_store import MaterializeReport
from stackwright_interfaces.plugin import Context


class FeastFeatureStore(ComposedFeatureStore):
    """New views in a Feast repository, and those that it has already.

    What Feast leaves open is settled above it: the order of rows, ages, nulls, windows, deletions, late writes.
    The rows of views that Feast has stay where they are: joins, online reads and materialisation go through Feast to
    their own sources and online rows.

    Args:
        config: where the repository lies.
        context: project and clock.

    Raises:
        BlueprintError: the configuration does not fit.
        FeatureStoreError: the repository cannot be read.
    """

    def __init__(self, config: FeastConfig, context: Context) -> None:
        self._repository = Repository.prepared(context.project / config.repo, config.project)
        files = Files(
            self._repository.data,
            context.cache / "feast",
            timeout=config.lock_timeout,
            sort_memory=config.sort_memory,
        )
        self._feast_offline = FeastOfflineStore(self._repository, files, context.clock)
        self._feast_online = FeastOnlineStore(self._repository)
        super().__init__(self._feast_offline, self._feast_online, project=context.project, clock=context.clock)

    def apply(self, definitions: Definitions) -> None:
        """Make these definitions the ones in force, in Feast's registry too; what was stored stays.

        Raises:
            VersionRequired: a view or service means something else than under the same version before.
            DefinitionError: definitions do not hold together, or do not fit what the repository has.
            FeatureStoreError: Feast fails.
        """
        super().apply(definitions)
        self._feast_online.know(definitions.views, self._feast_offline.feast_views, self._feast_offline.existing)

    def materialize(
        self,
        views: Sequence[str] = (),
        *,
        at: datetime | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[MaterializeReport]:
        """Bring online what was ingested or became due since the last time, for these views or all.

        Raises:
            UnknownName: no such view.
            FeatureStoreError: Feast fails.
        """
        existing = self._feast_offline.existing
        now = at or self._clock()
        now = now if now.tzinfo else now.replace(tzinfo=UTC)
        reports = []
        for ref in views or [view.ref for view in self.definitions.views]:
            if ref in existing:
                with self._writing:
                    reports.append(materialise_existing(existing[ref], now, progress or _silent))
            else:
                reports += super().materialize([ref], at=now, progress=progress)
        return reports


def _silent(_view: str, _done: int, _total: int) -> None:
    return None
