"""Gates of a recommender: what its lists must be like before anything points to it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stackwright.assembly.gate_options import LEVEL, configured
from stackwright.assembly.recommender_part import RecommenderPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.gates.base import GateResult, result_of
from stackwright.workflows.gates.delivery import ALLOWED
from stackwright.workflows.outcome import finite
from stackwright.workflows.recommending import judging
from stackwright.workflows.recommending.holding_out import Held
from stackwright.workflows.recommending.judging import Lists
from stackwright.workflows.recommending.loading import format_factory, load
from stackwright.workflows.recommending.tables import Tables
from stackwright_interfaces.errors import ModelNotFound, StackwrightError
from stackwright_interfaces.gates import Verdict
from stackwright_interfaces.model import Manifest, ModelRef, describe_files
from stackwright_interfaces.recommender import (
    Interactions,
    Recommendations,
    Recommender,
    RecommenderTrainer,
    Request,
)
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.probe import probe

_ROUNDS: Final = 5
_FEWEST: Final = 50
"""Users that a fit for ``reproducible`` learns from at least."""
_STRANGE: Final = "\ufffdnever seen"


@dataclass(frozen=True)
class Candidate:
    """A staged recommender, and how it was judged.

    Args:
        folder: the staged folder: of the fit on everything.
        staged: the same, loaded.
        judged: the fit on the older interactions.
        lists: its lists for the users whose newer interactions were held out.
        popular: what is popular, for the same users.
        recall: retriever, or ``all``, → the share of what was held out that it names; nothing where that is not told.
        trainer: what fits.
        threads: of the fits.
    """

    stack: Stack
    part: RecommenderPart
    tables: Tables
    held: Held
    folder: Path
    staged: Recommender
    judged: Recommender
    lists: Lists
    popular: Lists
    recall: Mapping[str, float]
    trainer: RecommenderTrainer
    threads: int

    @cached_property
    def manifest(self) -> Manifest:
        """What the folder says of itself."""
        return Manifest.read(self.folder)

    @cached_property
    def champion(self) -> ModelVersion | None:
        """The promoted version; ``None`` where there is none."""
        try:
            return self.stack.registry.resolve(ModelRef(self.part.name, alias=self.stack.champion))
        except ModelNotFound:
            return None


def run_gates(candidate: Candidate) -> Sequence[GateResult]:
    """Run every gate; a gate that fails to run is red."""
    chosen = configured(candidate.part, candidate.stack.plugins)
    results = []
    for done, (name, settings) in enumerate(chosen.items()):
        candidate.stack.progress(f"gate {name}", done, len(chosen))
        results.append(_run(candidate, name, settings))
    candidate.stack.progress("gates", len(chosen), len(chosen))
    return results


def _run(candidate: Candidate, name: str, settings: Mapping[str, Any]) -> GateResult:
    options = {option: value for option, value in settings.items() if option != LEVEL}
    started = time.perf_counter()
    try:
        verdict = LIST_GATES[name](candidate, **options)
    except StackwrightError as error:
        verdict = Verdict(passed=False, detail=str(error))
    except Exception as error:  # noqa: BLE001 -- a recommender may fail in any way, and other gates have yet to look
        verdict = Verdict(passed=False, detail=f"it failed with {type(error).__name__}: {error}")
    verdict = replace(verdict, evidence=finite(verdict.evidence))
    return result_of(name, verdict, settings, round(time.perf_counter() - started, 4))


def contract(candidate: Candidate, lists: int) -> Verdict:
    """Lists hold nothing twice and nothing that was seen, keep to their candidates, and strangers get one too.

    One is asked for with the rules of the blueprint, which the recommender may refuse.
    """
    asked = candidate.staged
    items = list(candidate.held.users)
    users = list(candidate.held.seen)[:lists]
    wrong = [f"of user {user!r}: {why}" for user in users for why in _broken(candidate, user)]
    stranger = asked.answer(Request(user=_STRANGE if isinstance(users[0], str) else -1, n=5))
    if not stranger.cold_user or not len(stranger):
        wrong.append("someone unknown gets no list, or one that does not say that nothing is known")
    if len(asked.answer(Request(candidates=(), n=5))):
        wrong.append("of no candidates some are shown")
    strange = asked.answer(Request(session=(_STRANGE,), candidates=items[:20], n=5)) if _texts(items) else None
    if strange is not None and _STRANGE not in strange.unknown:
        wrong.append("an item of the session that is unknown is not named")
    many = dict(asked.answer_users(users, Request(n=10)))
    wrong += [
        f"user {user!r} gets another list when many are asked for"
        for user in users
        if many[user].items != asked.answer(Request(user=user, n=10)).items
    ]
    usual = candidate.part.list
    asked.answer(Request(user=users[0], n=usual.n, rules=usual.rules, diversity=usual.diversity))
    if wrong:
        return Verdict(passed=False, detail=wrong[0], evidence={"wrong": wrong[:20]})
    return Verdict(passed=True, detail=f"{len(users)} users, strangers, sessions and candidates", evidence={})


def _texts(items: Sequence[Any]) -> bool:
    return bool(items) and isinstance(items[0], str)


def _broken(candidate: Candidate, user: Any) -> Iterator[str]:
    found = candidate.staged.answer(Request(user=user, n=10))
    seen = {*candidate.held.seen[user], *candidate.held.wanted[user]}
    if len(set(found.items)) < len(found):
        yield "an item stands twice"
    if seen & set(found.items):
        yield "what was seen is shown"
    if not _in_order(found):
        yield "scores do not fall, or are not finite"
    if (np.asarray(found.propensities) != 1).any():
        yield "propensities are not 1 where nothing is left to chance"
    some = list(found.items[:5])
    if set(candidate.staged.answer(Request(user=user, candidates=some, n=10)).items) != set(some):
        yield "it does not keep to the candidates"


def _in_order(found: Recommendations) -> bool:
    scores = np.asarray(found.scores, dtype=np.float64)
    return bool(np.isfinite(scores).all() and (np.diff(scores) <= 0).all())


def reproducible(candidate: Candidate, rows: int) -> Verdict:
    """The same interactions and seed give the same files: some of those of the first users, fitted twice."""
    some = of_few(candidate.tables.interactions, rows)
    digests = [_digest(candidate, some) for _ in range(2)]
    if digests[0] == digests[1]:
        detail = f"fitted twice on {some.table.num_rows:,} interactions: the same bytes"
        return Verdict(passed=True, detail=detail, evidence={"rows": some.table.num_rows})
    differ = sorted(name for name in digests[0] if digests[0][name] != digests[1].get(name))
    return Verdict(passed=False, detail=f"fitted twice, these files differ: {', '.join(differ)}", evidence={})


def _digest(candidate: Candidate, some: Interactions) -> dict[str, str]:
    fitted = candidate.trainer.fit(
        some,
        candidate.tables.items,
        holdout=candidate.part.holdout.how,
        seed=candidate.part.seed,
        threads=candidate.threads,
        progress=lambda *_: None,
    )
    with tempfile.TemporaryDirectory(dir=candidate.stack.project.cache) as folder:
        fitted.save(Path(folder))
        files = describe_files(Path(folder))
    fitted.recommender().close()
    return {name: entry.sha256 for name, entry in files.items()}


def of_few(interactions: Interactions, rows: int) -> Interactions:
    """Return interactions of as many users as have so many, in the order of the table.

    Of one user come so many at most that there are ``_FEWEST`` users, where the table has them.
    """
    table: pa.Table = interactions.table
    if table.num_rows <= rows:
        return interactions
    users = np.asarray(table["user"].combine_chunks().dictionary_encode().indices)
    sizes, order, cap = np.bincount(users), np.argsort(users, kind="stable"), max(rows // _FEWEST, 1)
    place = np.empty_like(order)
    place[order] = np.arange(users.size) - (np.cumsum(sizes) - sizes)[users[order]]
    few = int(np.searchsorted(np.cumsum(np.minimum(sizes, cap)), rows, side="right")) + 1
    return replace(interactions, table=table.filter(pa.array((users < few) & (place < cap))))


def baseline(candidate: Candidate, min_gain: float) -> Verdict:
    """The lists are better than what is popular, by a margin of its NDCG."""
    mine, theirs = candidate.lists.mean(), candidate.popular.mean()
    _, low, high = judging.gain(candidate.lists.each["ndcg"], candidate.popular.each["ndcg"])
    gain = mine / theirs - 1 if theirs else float("inf")
    name, users = f"ndcg@{candidate.lists.k}", len(candidate.lists.items)
    shown = f"{name} of {users:,} users {mine:.4f}, of what is popular {theirs:.4f}"
    detail = f"{shown}: gain {gain:.1%}, wanted {min_gain:.1%}"
    evidence = {"metric": name, "model": mine, "popular": theirs, "gain": gain, "users": users}
    return Verdict(mine >= (1 + min_gain) * theirs, detail, {**evidence, "low": low, "high": high})


def candidate_recall(candidate: Candidate, share: float) -> Verdict:
    """The retrievers name enough of what was held out: what none of them names cannot be shown."""
    found = candidate.recall
    if not found:
        return Verdict.inapplicable("the recommender does not tell what its retrievers name")
    best = max((name for name in found if name != "all"), key=lambda name: found[name])
    detail = f"{found['all']:.1%} of what was held out is named, wanted {share:.1%}; most by {best}: {found[best]:.1%}"
    return Verdict(found["all"] >= share, detail, {"recall": dict(found)})


def champion(candidate: Candidate, min_gain: float, users: int) -> Verdict:
    """On what neither has seen, the lists are not worse than the champion's: a paired bootstrap of the NDCG.

    The champion learned from everything that was known then; users count who took something for the first time since.
    What they took before that, and the model does not know, is passed over in its lists, as the champion passes it over
    by itself. Where each user's newest are held out, the model has learned what other users did since, and the champion
    has not: part of a gain is that of newer data.
    """
    version = candidate.champion
    if version is None:
        return Verdict.inapplicable("there is no champion yet", {"champion": None})
    evidence: dict[str, Any] = {"champion": version.ref}
    if version.digest == candidate.manifest.digest:
        return Verdict.inapplicable(f"it is the champion {version.ref} itself", evidence)
    manifest, other = load(candidate.stack, version, threads=candidate.threads)
    try:
        last = np.datetime64(str(manifest.data.get("last", "NaT")).removesuffix("+00:00"), "us")
        since = float(last.astype(np.int64)) / 1e6 if not np.isnat(last) else float("inf")
        fresh = taken_since(candidate.held, since)
        if len(fresh.wanted) < users:
            detail = f"{len(fresh.wanted)} users took something that is new to {version.ref} too; {users} are needed"
            return Verdict.inapplicable(detail, {**evidence, "users": len(fresh.wanted)})
        k = candidate.lists.k
        mine = judging.lists_of(candidate.judged, fresh, k, _taken(candidate.held, fresh))
        theirs = judging.lists_of(other, fresh, k)
    finally:
        other.close()
    before = theirs.mean()
    _, low, high = judging.gain(mine.each["ndcg"], theirs.each["ndcg"])
    evidence |= {"users": len(fresh.wanted), "metric": f"ndcg@{k}", "model": mine.mean(), "champion_ndcg": before}
    evidence |= {"low": low, "high": high}
    told = f"ndcg@{k} {mine.mean():.4f}, of {version.ref} {before:.4f}, on {len(fresh.wanted):,} users"
    detail = f"{told}: surely {low:+.4f}, wanted {min_gain:+.4f}"
    return Verdict(low >= min_gain, detail, evidence)


def taken_since(held: Held, seconds: float) -> Held:
    """Return what was held out and first taken after an instant; nothing where times are not known."""
    newer = {
        user: {item: time for item, time in items.items() if held.first[user][item] > seconds}
        for user, items in held.wanted.items()
    }
    wanted = {user: items for user, items in newer.items() if items}
    return replace(held, wanted=wanted, asked={user: min(items.values()) for user, items in wanted.items()})


def _taken(held: Held, fresh: Held) -> dict[Any, set[Any]]:
    """Return user → what was held out and is not fresh."""
    return {user: set(held.wanted[user]) - set(items) for user, items in fresh.wanted.items()}


def artifact(candidate: Candidate, max_mb: float, seconds: float, allow: list[str]) -> Verdict:
    """The folder holds data alone, is not too large, loads in a process of its own and gives its golden lists."""
    files = candidate.manifest.files
    size = sum(entry.size for entry in files.values()) / 1e6
    odd = [name for name in files if Path(name).suffix.lower() not in {*ALLOWED, *allow}]
    if odd:
        return Verdict(passed=False, detail=f"not allowed in a model: {', '.join(odd)}", evidence={"not_allowed": odd})
    factory = format_factory(candidate.stack, candidate.manifest.flavour)
    answer = probe(candidate.folder, factory, project=candidate.stack.project.folder, timeout=seconds)
    detail = f"{size:.1f} MB; loads alone; golden lists are the same, scores differ by {answer['difference']:.1g}"
    return Verdict(size <= max_mb, detail, {"megabytes": size, "files": len(files), **answer})


def latency(candidate: Candidate, p99_ms: float, candidates: int, lists: int) -> Verdict:
    """A list of some hundred candidates is answered in time, in this process.

    CPU time is measured, which other processes do not disturb: the 99th percentile of a round, of rounds the median.
    """
    rng = np.random.default_rng(0)
    items, users = list(candidate.held.users), list(candidate.held.seen)
    candidate.staged.answer(Request(user=users[0], candidates=items[:candidates]))  # what is made once is made now
    rounds = []
    for _ in range(_ROUNDS):
        took = []
        for user in (users[place] for place in rng.integers(0, len(users), lists)):
            chosen = [items[place] for place in rng.choice(len(items), min(candidates, len(items)), replace=False)]
            request = Request(user=user, candidates=chosen, n=candidate.part.list.n)
            before = time.process_time_ns()
            candidate.staged.answer(request)
            took.append((time.process_time_ns() - before) / 1e6)
        rounds.append(float(np.percentile(took, 99)))
    p99, count = float(np.median(rounds)), min(candidates, len(items))
    detail = f"p99 {p99:.2f} ms of CPU for a list of {count} candidates, allowed are {p99_ms:.3g} ms"
    return Verdict(p99 <= p99_ms, detail, {"p99_ms": p99, "candidates": count, "lists": lists})


LIST_GATES: Final[Mapping[str, Callable[..., Verdict]]] = {
    "contract": contract,
    "reproducible": reproducible,
    "baseline": baseline,
    "candidate_recall": candidate_recall,
    "champion": champion,
    "artifact": artifact,
    "latency": latency,
}
