"""How a stack differs from its lock, and what holds it there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from stackwright.assembly.blueprint import Problem

Holders = Callable[[str, str, str], Iterable[str]]
"""Tells who does not take a version of a distribution, of what is installed where a slot's adapter runs.

It is asked with the slot (empty for the engine), the distribution and the version.
"""

_RELOCK: Final = "If it is meant, run: stackwright lock"
_SHARED: Final = ("stackwright-interfaces", "stackwright-isolated")
"""What the engine and the environment of an isolated part speak to each other by."""


def nobody(_slot: str, _name: str, _version: str) -> Iterable[str]:
    """Tell of no holder."""
    return ()


def drift(was: Mapping[str, Any], now: Mapping[str, Any], holders: Holders = nobody) -> Iterator[Problem]:
    """Give every difference between a lock and the stack as it is."""
    where = "blueprint.lock"
    if was["python"] != now["python"]:
        yield Problem(where, f"locked for Python {was['python']}, this is {now['python']}", _RELOCK)
    for name in now["engine"]:
        yield from _installed(where, name, was["engine"].get(name, {}), now["engine"][name], partial(holders, ""))
    for slot in sorted({*was["parts"], *now["parts"]}):
        place = f"{where} [{slot}]"
        yield from _part(place, was["parts"].get(slot), now["parts"].get(slot), partial(holders, slot))
        yield from _apart(place, now["parts"].get(slot, {}), now["engine"])


def _part(
    where: str, was: Mapping[str, Any] | None, now: Mapping[str, Any] | None, holders: Callable[..., Iterable[str]]
) -> Iterator[Problem]:
    if was is None or now is None:
        found = "the slot was empty" if now else "the slot is empty now"
        yield Problem(where, f"{found}, {(now or was or {})['adapter']!r} was {'added' if now else 'removed'}", _RELOCK)
    elif was["adapter"] != now["adapter"]:
        yield Problem(where, f"locked with adapter {was['adapter']!r}, the blueprint names {now['adapter']!r}", _RELOCK)
    else:
        if was["contract"] != now["contract"]:
            found = f"locked with version {was['contract']} of the contract, this is {now['contract']}"
            yield Problem(where, found, _RELOCK)
        for key, old, new in _differences(was["options"], now["options"]):
            yield Problem(where, f"{key} was {old}, is {new}", _RELOCK)
        old, new = (side.get("isolated", {}).get("requirements") for side in (was, now))
        if old != new:
            yield Problem(where, f"isolated was {_asked(old)}, is {_asked(new)}", _RELOCK)
        if (old is None) == (new is None):
            yield from _installed(where, now["distribution"], was, now, holders)


def _asked(requirements: list[str] | None) -> str:
    return "false" if requirements is None else json.dumps(requirements) if requirements else "true"


def _apart(where: str, now: Mapping[str, Any], engine: Mapping[str, Any]) -> Iterator[Problem]:
    """Give what an isolated part holds in another version than the engine, which was upgraded since it was locked."""
    for name in _SHARED if "isolated" in now else ():
        there, here = now["requires"].get(name), engine[name]["version"]
        if there != here:
            found = f"its environment holds {name} {there}, the engine {here}"
            yield Problem(where, found, "Run: stackwright lock --upgrade")


def _installed(
    where: str, name: str, was: Mapping[str, Any], now: Mapping[str, Any], holders: Callable[..., Iterable[str]]
) -> Iterator[Problem]:
    """Give what became of a distribution and what it requires; an isolated one is installed as it was locked."""
    apart = "isolated" in now
    if was.get("version") != now["version"]:
        old, new = was.get("version") or "nothing", now["version"] or "nothing"
        todo = f"Run: pip install {name}=={old}, or: stackwright lock" if was.get("version") and not apart else _RELOCK
        yield Problem(where, f"{name} was {old}, {new} is installed", todo)
    elif was["files"] != now["files"]:
        found = f"{name} {now['version']} has other files than were locked"
        yield Problem(where, found, f"Reinstall it. {_RELOCK}")
    for vendor, old, new in _differences(was.get("requires", {}), now["requires"]):
        locked = was.get("requires", {}).get(vendor)
        held = "".join(f", {holder}" for holder in holders(vendor, locked)) if locked else ""
        todo = f"Run: pip install {vendor}=={locked}, or: stackwright lock" if locked and not apart else _RELOCK
        yield Problem(where, f"{vendor} was {old}, is {new}{held}", todo)


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key in sorted({*was, *now}):
        if was.get(key) != now.get(key):
            old, new = (repr(side[key]) if key in side else "not set" for side in (was, now))
            yield key, old, new
