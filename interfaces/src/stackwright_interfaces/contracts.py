"""Versions of contracts: which one is in force, which older ones are served still, and until when.

The module of a contract holds its version, ``CONTRACT``. It rises when an adapter that was written to it would no
longer be right; what only adds (a method with a body, a capability, an argument with a default) leaves it as it is.
While an older version is served still, the module says how in ``OLDER``::

    CONTRACT: Final = 2
    OLDER: Final = {1: Older(until="0.4", bridge=WithTimeouts)}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from stackwright_interfaces import compute


@dataclass(frozen=True, kw_only=True)
class Older:
    """A version of a contract that is no longer in force, and served still.

    Args:
        until: the release of stackwright that serves it no more, ``"0.4"`` say.
        bridge: makes of an adapter of this version one of the next.
    """

    until: str
    bridge: Callable[[Any], Any]


def in_force(provides: type) -> int:
    """Return the version of a contract that is in force."""
    version: int = _module(provides).CONTRACT
    return version


def older(provides: type) -> Mapping[int, Older]:
    """Return the older versions of a contract that are served still."""
    found: Mapping[int, Older] = getattr(_module(provides), "OLDER", {})
    return found


def bridged(provides: type, version: int, adapter: Any) -> Any:
    """Return an adapter of a version that is served as one of the version in force."""
    served = older(provides)
    for step in range(version, in_force(provides)):
        adapter = served[step].bridge(adapter)
    return adapter


def refusal(version: int, current: int, served: Mapping[int, Older]) -> str:
    """Return why a version is not served; empty where it is.

    Args:
        version: what a plugin was written to.
        current: the version in force.
        served: the older ones that are served still.
    """
    if version == current or version in served:
        return ""
    also = "".join(f", beside {number} until stackwright {each.until}" for number, each in sorted(served.items()))
    return f"was written to version {version} of its contract, this is {current}{also}"


def _module(provides: type) -> ModuleType:
    """Return the module that holds the version of a contract; that of executors is not the contract's own."""
    return compute if provides is Executor else import_module(provides.__module__)
