"""What an installed distribution requires, and whether what is installed fits.

The lower bound that an adapter's distribution gives for its vendor is the oldest version that its tests ran with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version


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
        try:
            return bool(self.installed) and SpecifierSet(self.takes).contains(Version(self.installed), prereleases=True)
        except InvalidVersion:  # of a distribution that keeps to no standard; nobody can tell
            return True


def vendors(distribution: str) -> list[Vendor]:
    """Return what an installed distribution requires here, by name; nothing where it is not installed itself."""
    found = installed(distribution)
    names: dict[str, SpecifierSet] = {}
    for requirement in requirements(found) if found else ():
        names[requirement.name] = names.get(requirement.name, SpecifierSet()) & requirement.specifier
    return [Vendor(name, str(takes), version(name)) for name, takes in sorted(names.items())]


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
