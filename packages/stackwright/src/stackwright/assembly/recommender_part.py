"""``[recommenders.NAME]``, read into frozen data: who took what, what is known of it, and how lists are made."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stackwright.assembly.reading import Part, Reader
from stackwright_interfaces.recommender import AtMost, Boosted, Hidden, Holdout, Pinned, Request, Rule

_UNITS: Final = ("s", "ms", "us", "ns")
_SERVICE: Final = re.compile(r"[A-Za-z_][\w/]*@\d+")


@dataclass(frozen=True, kw_only=True)
class TablePart:
    """A table and how it is read.

    Args:
        source: where it lies: a file, a folder, a pattern, ``s3:``, a database, or ``env:NAME`` for a secret address.
        table: the table of a database.
        query: a SELECT for a database, instead.
        names: the columns of a text file of this machine that has no header line.
        delimiter: of a text file.
        encoding: of a text file.
        time_unit: of times that are numbers since 1970: ``s``, ``ms``, ``us`` or ``ns``.
    """

    source: str
    table: str | None = None
    query: str | None = None
    names: tuple[str, ...] = ()
    delimiter: str = ","
    encoding: str = "utf-8"
    time_unit: str = "s"

    @property
    def plain(self) -> bool:
        """Whether it is a CSV as all others are: a header, commas, UTF-8."""
        return not self.names and self.delimiter == "," and self.encoding == "utf-8"


@dataclass(frozen=True, kw_only=True)
class InteractionsPart(TablePart):
    """``interactions``: one interaction a row, and which column holds what.

    Args:
        user: the column of who took it.
        item: the column of what was taken, texts or whole numbers.
        time: the column of when; without it nothing is known of order.
        weight: how much taste it tells of, 0 or more; without it each counts 1.
        rating: what the user thought of it.
        relevant_from: the least rating that is liked; what is rated lower counts as seen and not liked.
    """

    user: str
    item: str
    time: str = ""
    weight: str = ""
    rating: str = ""
    relevant_from: float | None = None


@dataclass(frozen=True, kw_only=True)
class ItemsPart(TablePart):
    """``items``: what is known of the items, and which column holds what.

    Args:
        item: the identifier, as in the interactions.
        time: when a row was written; of several rows of an item the newest counts. Empty allows one row an item.
        attributes: columns of texts, several values parted by ``separator``.
        numbers: columns of numbers.
        separator: between several values of one attribute.
        latitude: degrees.
        longitude: degrees.
        area: what popularity is counted by.
        group: what rules speak of.
        price: what a budget limits.
        since: when an item may be shown first; of several rows the earliest counts. Needs the ``time`` of interactions.
        until: when it may no longer be shown. Needs the ``time`` of interactions.
    """

    item: str
    time: str = ""
    attributes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    separator: str = "|"
    latitude: str = ""
    longitude: str = ""
    area: str = ""
    group: str = ""
    price: str = ""
    since: str = ""
    until: str = ""


@dataclass(frozen=True, kw_only=True)
class HoldoutPart:
    """``holdout``: what lists are judged by.

    Args:
        how: ``last`` holds each user's newest interactions out, ``random`` drawn ones of each item; the default where
            no times are known.
        share: of them that is held out.
        seed: of the draw.
    """

    how: Holdout = "last"
    share: float = 0.2
    seed: int = 7


@dataclass(frozen=True, kw_only=True)
class ListPart:
    """``list``: what every list is made with.

    Args:
        n: places, where a request names none.
        diversity: 0 to 1, where a request names none.
        explore: probability that a list is put in random order.
        explore_depth: how many of the best chance puts in order.
        rules: business rules.
    """

    n: int = 10
    diversity: float = 0.0
    explore: float = 0.0
    explore_depth: int = 0
    rules: tuple[Rule, ...] = ()

    def request(self) -> Request:
        """Return what is asked where a request names nothing else."""
        return Request(
            n=self.n,
            diversity=self.diversity,
            explore=self.explore,
            explore_depth=self.explore_depth,
            rules=self.rules,
        )


@dataclass(frozen=True, kw_only=True)
class SessionPart:
    """``session``: what a person looked at just now, kept by the feature store.

    Args:
        service: ``name@version`` of a service that is asked by the person alone.
        feature: its feature: items, oldest first.
    """

    service: str
    feature: str


@dataclass(frozen=True, kw_only=True)
class RecommenderPart:
    """``[recommenders.NAME]``.

    Args:
        name: of the model that is published.
        place: in the blueprint.
        trainer: who learns.
        interactions: who took what, a table.
        items: what is known of the items, a table; those that nobody took yet among them. May be left out.
        holdout: what lists are judged by.
        k: places that count when they are judged.
        list: what every list is made with.
        session: a feature of the store that holds what a person looked at just now.
        gates: gate → its options, ``"warn"``, or ``false`` to turn it off; gates not named run with their defaults.
        seed: seed of every random choice of the fit.
    """

    name: str
    place: str
    trainer: Part
    interactions: InteractionsPart
    items: ItemsPart | None = None
    holdout: HoldoutPart = field(default_factory=HoldoutPart)
    k: int = 10
    list: ListPart = field(default_factory=ListPart)
    session: SessionPart | None = None
    gates: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 7


def read_recommender(reader: Reader, name: str, table: Any) -> RecommenderPart:
    """Read a recommender, noting what is wrong with it."""
    where, table = reader.published("recommenders", name, table)
    reader.keys(where, table, [key for key in RecommenderPart.__dataclass_fields__ if key not in ("name", "place")])
    trainer = reader.part(f"{where} trainer", table.get("trainer"))
    if "interactions" not in table:
        todo = 'Add: interactions = { source = "...", user = "...", item = "..." }'
        reader.add(where, "interactions is missing", todo)
    interactions = _interactions(reader, where, reader.take(where, table, "interactions", dict, {}), table)
    items = _items(reader, where, reader.take(where, table, "items", dict, {})) if "items" in table else None
    if items is not None and (items.since or items.until) and not interactions.time:
        found = "since or until is given, and the interactions have no time"
        reader.add(f"{where} items", found, "Name it in interactions, or leave since and until out.")
    return RecommenderPart(
        name=name,
        place=where,
        trainer=trainer or Part(f"{where} trainer", ""),
        interactions=interactions,
        items=items,
        holdout=_holdout(reader, where, table.get("holdout", {}), timed=bool(interactions.time)),
        k=int(reader.number(where, table, "k", 10, 1, 1_000)),
        list=_list(reader, where, reader.take(where, table, "list", dict, {})),
        session=_session(reader, where, reader.take(where, table, "session", dict, {})) if "session" in table else None,
        gates=reader.take(where, table, "gates", dict, {}),
        seed=int(reader.number(where, table, "seed", 7, 0, 2**31 - 1)),
    )


def _table(reader: Reader, where: str, table: Mapping[str, Any], part: type[TablePart]) -> dict[str, Any]:
    """Return what all tables have."""
    reader.keys(where, table, tuple(part.__dataclass_fields__))
    found = {
        "source": reader.required(where, table, "source") if table else "",
        "table": reader.take(where, table, "table", str, None),
        "query": reader.take(where, table, "query", str, None),
        "names": _texts(reader, where, table, "names"),
        "delimiter": reader.take(where, table, "delimiter", str, ","),
        "encoding": reader.take(where, table, "encoding", str, "utf-8"),
        "time_unit": reader.choice(where, table, "time_unit", _UNITS, "s"),
    }
    if len(found["delimiter"]) != 1 or not found["delimiter"].isascii():
        reader.add(where, f"delimiter is {found['delimiter']!r}", 'Give one character of ASCII, "\\t" say.')
    return found


def _texts(reader: Reader, where: str, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = reader.take(where, table, key, list, [])
    if not all(isinstance(one, str) for one in found) or len(set(map(str, found))) < len(found):
        reader.add(where, f"{key} is {found!r}", "Give names of columns, each once.")
    return tuple(map(str, found))


def _interactions(reader: Reader, where: str, table: Mapping[str, Any], whole: Mapping[str, Any]) -> InteractionsPart:
    where = f"{where} interactions"
    user, item = (reader.required(where, table, key) if "interactions" in whole else "" for key in ("user", "item"))
    rating = reader.take(where, table, "rating", str, "")
    least = reader.take(where, table, "relevant_from", (int, float), None)
    if least is not None and not rating:
        reader.add(where, "relevant_from is given, and no rating", 'Add: rating = "COLUMN".')
    return InteractionsPart(
        **_table(reader, where, table, InteractionsPart),
        user=user,
        item=item,
        time=reader.take(where, table, "time", str, ""),
        weight=reader.take(where, table, "weight", str, ""),
        rating=rating,
        relevant_from=None if least is None else float(least),
    )


_OF_ITEMS: Final = ("time", "latitude", "longitude", "area", "group", "price", "since", "until")


def _items(reader: Reader, where: str, table: Mapping[str, Any]) -> ItemsPart:
    where = f"{where} items"
    for name in {*_names(table, "attributes")} & {*_names(table, "numbers")}:
        reader.add(where, f"{name!r} is among attributes and numbers", "Name it once.")
    if ("latitude" in table) != ("longitude" in table):
        reader.add(where, "one of latitude and longitude is given", "Give both.")
    return ItemsPart(
        **_table(reader, where, table, ItemsPart),
        item=reader.required(where, table, "item"),
        attributes=_texts(reader, where, table, "attributes"),
        numbers=_texts(reader, where, table, "numbers"),
        separator=reader.take(where, table, "separator", str, "|"),
        **{key: reader.take(where, table, key, str, "") for key in _OF_ITEMS},
    )


def _names(table: Mapping[str, Any], key: str) -> list[str]:
    found = table.get(key, [])
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _holdout(reader: Reader, where: str, given: Any, *, timed: bool) -> HoldoutPart:
    table = {"how": given} if isinstance(given, str) else given
    where = f"{where} holdout"
    if not isinstance(table, Mapping):
        reader.add(where, f"is {given!r}", 'Write "last", "random", or a table.')
        table = {}
    reader.keys(where, table, tuple(HoldoutPart.__dataclass_fields__))
    how = reader.choice(where, table, "how", ("last", "random"), "last" if timed else "random")
    if how == "last" and not timed:
        reader.add(where, "how is 'last', and the interactions have no time", 'Name it, or write how = "random".')
    return HoldoutPart(
        how="last" if how == "last" else "random",
        share=reader.number(where, table, "share", 0.2, 0.01, 0.9),
        seed=int(reader.number(where, table, "seed", 7, 0, 2**31 - 1)),
    )


def _list(reader: Reader, where: str, table: Mapping[str, Any]) -> ListPart:
    where = f"{where} list"
    reader.keys(where, table, tuple(ListPart.__dataclass_fields__))
    rules = [_rule(reader, where, one) for one in reader.take(where, table, "rules", list, [])]
    places = [rule.place for rule in rules if isinstance(rule, Pinned)]
    for place in sorted({place for place in places if places.count(place) > 1}):
        reader.add(f"{where} rules", f"several items are pinned at place {place}", "Give each a place of its own.")
    return ListPart(
        n=int(reader.number(where, table, "n", 10, 1, 1_000)),
        diversity=reader.number(where, table, "diversity", 0.0, 0.0, 1.0),
        explore=reader.number(where, table, "explore", 0.0, 0.0, 1.0),
        explore_depth=int(reader.number(where, table, "explore_depth", 0, 0, 1_000)),
        rules=tuple(rule for rule in rules if rule is not None),
    )


_RULES: Final[Mapping[str, type[Any]]] = {"hide": Hidden, "at_most": AtMost, "pin": Pinned, "boost": Boosted}
_RULE_TODO: Final = (
    'Write { hide = { groups = ["G"] } }, { at_most = { count = 2, of = "group" } }, '
    '{ pin = { item = "I", place = 1 } } or { boost = { by = 1.0, items = ["I"] } }.'
)


def _rule(reader: Reader, where: str, given: Any) -> Rule | None:
    """Read one rule, a table of its kind alone."""
    kind, options = next(iter(given.items())) if isinstance(given, Mapping) and len(given) == 1 else ("", None)
    if kind not in _RULES or not isinstance(options, Mapping):
        reader.add(f"{where} rules", f"{given!r} is no rule", _RULE_TODO)
        return None
    listed = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    try:
        rule: Rule = _RULES[kind](**listed)
    except TypeError as error:
        reader.add(f"{where} rules {kind}", str(error).partition("() ")[2] or str(error), _RULE_TODO)
        return None
    if found := _unfit(rule):
        reader.add(f"{where} rules {kind}", found, _RULE_TODO)
        return None
    return rule


def _unfit(rule: Rule) -> str:
    """Return what is wrong with the values of a rule; nothing where they fit."""
    if isinstance(rule, Hidden | Boosted):
        if isinstance(rule, Boosted) and not (type(rule.by) in (int, float) and math.isfinite(rule.by)):
            return f"by is {rule.by!r}"
        return _unlisted("items", rule.items) or _unlisted("groups", rule.groups)
    if isinstance(rule, Pinned) and type(rule.item) not in (str, int):
        return f"item is {rule.item!r}, no text and no whole number"
    name = "count" if isinstance(rule, AtMost) else "place"
    number = getattr(rule, name)
    if type(number) is not int or number < 1:
        return f"{name} is {number!r}"
    return f"of is {rule.of!r}" if isinstance(rule, AtMost) and rule.of not in ("group", "area") else ""


def _unlisted(name: str, given: Any) -> str:
    """Return what is wrong with a list of identifiers."""
    if not isinstance(given, tuple):
        return f"{name} is {given!r}, no list"
    odd = [one for one in given if type(one) not in (str, int)]
    return f"{name} holds {odd[0]!r}, no text and no whole number" if odd else ""


def _session(reader: Reader, where: str, table: Mapping[str, Any]) -> SessionPart:
    where = f"{where} session"
    reader.keys(where, table, tuple(SessionPart.__dataclass_fields__))
    service = reader.required(where, table, "service")
    if service and not _SERVICE.fullmatch(service):
        reader.add(where, f"service is {service!r}", 'Write name@version, "session@1" say.')
    return SessionPart(service=service, feature=reader.required(where, table, "feature"))
