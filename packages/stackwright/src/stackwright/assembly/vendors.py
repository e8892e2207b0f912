"""What an installed distribution requires, and whether what is installed fits.

The lower bound that an adapter's distribution gives for its vendor is the oldest version that its tests ran with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from stackwright.assembly.reading import Problem


@dataclass(frozen=True)
class Vendor:
    """A distribution that another one requires.

    Args:
        takes: the versions that it takes, ``>=0.67`` say; empty for all.
        installed: the version that is installed; empty where none is.
    """

    name: str
    takes: str
    installed: str

    @property
    def fits(self) -> bool:
        """Whether a version is installed that is taken."""
        return bool(self.installed) and _within(self.installed, SpecifierSet(self.takes))


def vendors(distribution: str) -> list[Vendor]:
    """Return what an installed distribution requires here, by name; nothing where it is not installed itself."""
    found = installed(distribution)
    names: dict[str, SpecifierSet] = {}
    for requirement in requirements(found) if found else ():
        names[requirement.name] = names.get(requirement.name, SpecifierSet()) & requirement.specifier
    return [Vendor(name, str(takes), version(name)) for name, takes in sorted(names.items())]


def misfits(where: str, distribution: str) -> Iterator[Problem]:
    """Give what an installed distribution requires and does not have: below its tested version, say, or missing.

    Args:
        where: the place that a message names.
    """
    for vendor in vendors(distribution):
        if not vendor.fits:
            takes = f"{vendor.name}{vendor.takes}"
            there = f"{vendor.installed} is installed" if vendor.installed else "it is not installed"
            held = "".join(f", {holder}" for holder in _held_below(vendor))
            yield Problem(where, f"{distribution} takes {takes}, {there}{held}", f"Run: pip install '{takes}'")


def holders(name: str, version: str, site: Path | None = None) -> Iterator[str]:
    """Give installed distributions that do not take this version of another one, with what they take.

    Args:
        site: a folder of distributions to look in; without it, where this process finds them.
    """
    for holder, need in _everything_required(site):
        if canonicalize_name(need.name) == canonicalize_name(name) and not _within(version, need.specifier):
            yield f"held by {holder}, which takes {need.name}{need.specifier}"


@cache
def _everything_required(site: Path | None) -> list[tuple[str, Requirement]]:
    found = metadata.distributions() if site is None else metadata.distributions(path=[str(site)])
    return [(f"{holder.name} {holder.version}", need) for holder in found for need in requirements(holder)]


def _held_below(vendor: Vendor) -> Iterator[str]:
    """Give who does not take the lowest version that is asked for."""
    for lowest in (item.version for item in SpecifierSet(vendor.takes) if item.operator in (">=", "~=", "==")):
        yield from holders(vendor.name, lowest)


def _within(version: str, takes: SpecifierSet) -> bool:
    try:
        return takes.contains(Version(version), prereleases=True)
    except InvalidVersion:  # of a distribution that keeps to no standard; nobody can tell
        return True


def requirements(distribution: metadata.Distribution, extras: frozenset[str] = frozenset()) -> Iterator[Requirement]:
    """Give the requirements of a distribution that count on this machine, with these extras."""
    for line in distribution.requires or ():
        try:
            found = Requirement(line)
        except InvalidRequirement:  # pip installed it all the same
            continue
        marker = found.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield found


@cache
def installed(name: str) -> metadata.Distribution | None:
    """Return an installed distribution, or ``None``."""
    try:
        return metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def version(name: str) -> str:
    """Return the version that is installed; empty where none is."""
    found = installed(name)
    return found.version if found else ""
