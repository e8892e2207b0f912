"""The whole way of a recommender: from a sample's events to lists that follow what is looked at."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import pyarrow.parquet

from stackwright.assembly.stack import Stack
from stackwright.workflows.batch.lists import recommend_all
from stackwright.workflows.features.push import push
from stackwright.workflows.ledger import Ledger, file_digest
from stackwright.workflows.live.endpoint import Endpoint, Reply
from stackwright.workflows.live.process import serving
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.recommending.asking import Question
from stackwright.workflows.training.train import newest
from stackwright.workflows.up_steps import Steps, Way
from stackwright_interfaces.errors import ServerError
from stackwright_interfaces.plugin import Sample
from stackwright_interfaces.registry import ModelVersion

REQUESTS: Final = 200
CANDIDATES: Final = 500
_LISTS: Final = "lists.parquet"


class ListWay(Way):
    """The steps over one project with a sample, of a recommender."""

    def __init__(self, stack: Stack, sample: Sample, ledger: Ledger, steps: Steps) -> None:
        super().__init__(stack, sample, ledger, steps)
        self.served: dict[str, Any] = {}
        self.lists = stack.project.folder / _LISTS

    def go(self, started: float) -> Outcome:
        """Take the steps."""
        run = self.steps.run
        run("features", self.apply)
        run("history", self.ingest)
        if self.is_online:
            run("online", self.materialize)
        run("training", self.train)
        run("promotion", self.promote)
        run("lists", self.write_lists)
        if self.stack.blueprint.server is not None:
            run("serving", self.serve)
        return self.summary(time.monotonic() - started)

    @property
    def version(self) -> ModelVersion:
        """The newest version."""
        version = newest(self.stack, self.stack.recommender().name)
        assert version is not None
        return version

    def materialize(self) -> tuple[str, bool]:
        """Bring online all that is known."""
        written = self.bring_online(self.stack.clock())
        return (f"{written:,} rows brought online" if written else "online rows are current"), bool(written)

    def write_lists(self) -> tuple[str, bool]:
        """Write the lists of all users, as a night does."""
        inputs = [self.version.digest, file_digest(self.stack.project.blueprint)]
        if self.lists.exists() and self.ledger.unchanged("lists", inputs):
            return f"lists are in {_LISTS}", False
        outcome = recommend_all(self.stack, Question(at=self.asked), str(self.lists))
        self.ledger.finish("lists", inputs, dict(outcome.data))
        return f"lists of {outcome.data['users']:,} people in {_LISTS}", True

    @property
    def asked(self) -> Any:
        """The instant that lists are asked for: a moment after the newest event of the sample."""
        table = pyarrow.parquet.read_table(self.sample.views["history"], columns=["happened_at"])
        return pyarrow.compute.max(table["happened_at"]).as_py() + timedelta(seconds=1)

    def serve(self) -> tuple[str, bool]:
        """Ask the server for lists of searches, then look at homes, and see the next list follow."""
        inputs = [self.version.digest, file_digest(self.stack.project.blueprint), file_digest(self.sample.requests)]
        if self.ledger.unchanged("served", inputs):
            self.served = dict(self.ledger.note("served"))
            return "the server was asked", False
        with serving(self.stack.project) as url, Endpoint(url, timeout=60) as endpoint:
            took = [self._ask(endpoint, body).seconds for body in self._searches()]
            followed = self._followed(endpoint)
        p50, p99 = np.percentile(np.array(took) * 1e3, [50, 99]).tolist()
        self.served = {"requests": len(took), "p50_ms": p50, "p99_ms": p99, **followed}
        self.ledger.finish("served", inputs, self.served)
        told = f"{self.version.ref} answered {len(took)} searches over HTTP, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        return told, True

    def _searches(self) -> list[dict[str, Any]]:
        """Return searches: who asks, and homes to choose from."""
        people = pyarrow.parquet.read_table(self.sample.requests, columns=["person_id"])["person_id"].to_pylist()
        homes = self._homes()
        rng = np.random.default_rng(0)
        count = min(CANDIDATES, len(homes))
        return [
            {"user": person, "candidates": [homes[place] for place in rng.choice(len(homes), count, replace=False)]}
            for person in people[:REQUESTS]
        ]

    def _homes(self) -> list[str]:
        table = pyarrow.parquet.read_table(self.sample.views["history"], columns=["listing_id"])
        return sorted(set(table["listing_id"].to_pylist()))

    def _looked(self) -> list[str]:
        """Return the homes that are looked at."""
        return self._homes()[:3]

    def _followed(self, endpoint: Endpoint) -> dict[str, Any]:
        """Return a person's list before and after some pages are opened and pushed."""
        person = pyarrow.parquet.read_table(self.sample.requests, columns=["person_id"])["person_id"][0].as_py()
        before = self._ask(endpoint, {"user": person})
        events = self.stack.project.state / "looks.jsonl"
        now = self.stack.clock()
        looks = [
            {
                "person_id": person,
                "listing_id": home,
                "event_id": -1 - place,
                "happened_at": (now - timedelta(seconds=5 - place)).isoformat(),
                "recorded_at": now.isoformat(),
            }
            for place, home in enumerate(self._looked())
        ]
        events.write_text("".join(f"{json.dumps(look)}\n" for look in looks), encoding="utf-8")
        push(self.stack, "history", str(events))
        after = self._ask(endpoint, {"user": person})
        names = [[row["item"] for row in reply.document["items"]] for reply in (before, after)]
        return {"person": person, "before": names[0], "after": names[1]}

    def _ask(self, endpoint: Endpoint, body: dict[str, Any]) -> Reply:
        path = f"/recommend/{quote(self.version.name)}"
        reply = endpoint.post(path, body)
        if reply.status != 200:
            found = f"answered {reply.status}: {reply.body.decode()[:500]}"
            raise ServerError(f"POST {path}", found, "See .stackwright/server.log")
        return reply

    def summary(self, seconds: float) -> Outcome:
        """Return what came of it."""
        version = self.version
        measured = version.record["metrics"]
        k = version.record["data"]["holdout"]["k"]
        rows = [
            ("recommender", f"{version.ref}  {version.digest[:19]}"),
            (f"ndcg@{k}", f"{measured['ndcg']:.3f}; what is popular has {measured['popular_ndcg']:.3f}"),
            (
                "someone unknown",
                f"{measured['session_ndcg']:.3f} by what was looked at, {measured['cold_ndcg']:.3f} without",
            ),
            ("lists", str(self.lists)),
        ]
        if self.served:
            rows.append(
                ("latency", f"p50 {self.served['p50_ms']:.1f} ms, p99 {self.served['p99_ms']:.1f} ms over HTTP")
            )
            rows.append(("three looks later", followed(self.served["before"], self.served["after"], self._looked())))
        rows.append(("project", str(self.stack.project.folder)))
        data = {
            "model": version.ref,
            "digest": version.digest,
            "metrics": dict(measured),
            "lists": dict(self.ledger.note("lists")),
            "served": self.served,
            "steps": self.steps.done,
            "seconds": round(seconds, 2),
        }
        notes = ("", "Try it by hand:", *(f"  {line}" for line in self._commands()))
        return Outcome(f"Up in {seconds:.1f} s", data, (Table(("what", "value"), rows),), notes)

    def _commands(self) -> list[str]:
        command = shlex.quote(str(Path(sys.executable).parent / "stackwright"))
        project = shlex.quote(str(self.stack.project.folder))
        person, home = self._searches()[0]["user"], self._homes()[0]
        return [
            f"{command} recommend --user {person} --project {project}",
            f"{command} recommend --like {home} --project {project}",
            f"{command} serve --project {project}",
            f"curl http://127.0.0.1:8080/recommend -H 'Content-Type: application/json' -d '{{\"user\": \"{person}\"}}'",
        ]


def followed(before: Sequence[str], after: Sequence[str], looked: Collection[str]) -> str:
    """Say how a list changed beyond that what was looked at is not shown again."""
    kept = [item for item in before if item not in looked]
    if list(after[: len(kept)]) == kept:
        return "the same list, without what was looked at"
    gone = len(set(kept) - set(after))
    return f"{gone} of {len(kept)} homes gave way to others" if gone else "the same homes in another order"
