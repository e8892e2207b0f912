"""Sharing features between teams: publish a namespace, permit, import, and tell who uses what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from stackwright.assembly import options
from stackwright.assembly.blueprint import FILE, CataloguePart
from stackwright.assembly.plan import plain
from stackwright.assembly.project import write_json
from stackwright.assembly.stack import Stack
from stackwright.workflows.features.shared_catalogue import Namespace, SharedCatalogue
from stackwright.workflows.identity import who
from stackwright.workflows.outcome import Outcome
from stackwright_features.definition_changes import check_versions
from stackwright_interfaces import imports
from stackwright_interfaces.catalogue import meaning
from stackwright_interfaces.definitions import Definitions, FeatureView
from stackwright_interfaces.errors import (
    BlueprintError,
    DefinitionError,
    UnknownName,
    UsageError,
    VersionRequired,
    did_you_mean,
)


def namespace_of(name: str) -> str:
    """Return the namespace of a name or reference; empty where it has none."""
    namespace, slash, _ = name.rpartition("/")
    return namespace if slash else ""


def is_foreign(stack: Stack, view: FeatureView) -> bool:
    """Return whether a view belongs to another team: it lies in another namespace than the project's."""
    part = stack.blueprint.catalogue
    return part is not None and namespace_of(view.name) not in ("", part.namespace)


def refuse_foreign(stack: Stack, view: FeatureView) -> None:
    """Refuse to bring rows of another team's view.

    Raises:
        DefinitionError: the view is another team's.
    """
    if is_foreign(stack, view):
        owner = namespace_of(view.name)
        raise DefinitionError(f"view {view.ref!r}", f"it is {owner!r}'s, who brings its rows", "Ingest your own views.")


def catalogue_of(stack: Stack) -> SharedCatalogue:
    """Return the shared catalogue of a project.

    Raises:
        BlueprintError: the blueprint names none.
    """
    part = _part(stack)
    return SharedCatalogue(stack.context.storage(part.url), f"catalogue {part.url}")


def _part(stack: Stack) -> CataloguePart:
    part = stack.blueprint.catalogue
    if part is None:
        todo = "Add [catalogue] with url and namespace."
        raise BlueprintError(f"{FILE} [catalogue]", "the project shares no catalogue", todo)
    return part


def check_shared(stack: Stack, definitions: Definitions) -> tuple[str, ...]:
    """Check what a project defines and imports against the shared catalogue, where it has one; return notes.

    Raises:
        DefinitionError: a name lies in another team's namespace, or an imported view is no longer permitted.
        VersionRequired: an imported or published view means something else than in the catalogue.
    """
    part = stack.blueprint.catalogue
    if part is None:
        return ()
    own = ("", part.namespace)
    for kind, names in (
        ("service", [service.ref for service in definitions.services]),
        ("target", [target.name for target in definitions.targets]),
    ):
        for name in names:
            if namespace_of(name) not in own:
                found = f"it lies in another namespace than {part.namespace!r}"
                raise DefinitionError(
                    f"{kind} {name!r}", found, f"Name it {part.namespace}/..., or without a namespace."
                )
    catalogue = catalogue_of(stack)
    notes: list[str] = []
    for view in definitions.views:
        if namespace_of(view.name) not in own:
            namespace = catalogue.namespace(namespace_of(view.name))
            _check_import(namespace, view, part.namespace)
            notes += _store_note(stack, view, namespace.published[view.ref])
    return tuple(notes)


def _check_import(namespace: Namespace, view: FeatureView, by: str) -> FeatureView:
    published = namespace.view(view.ref)
    if published is None:
        raise _unpublished(view.ref, namespace)
    if not namespace.permits(published, by):
        owner = namespace.published[view.ref]["who"]
        todo = f"Ask {owner} to run: stackwright share {view.ref} --with {by}"
        raise DefinitionError(f"view {view.ref!r}", f"{namespace.name!r} does not share it with {by!r}", todo)
    if meaning(published) != meaning(view):
        found = f"{namespace.name!r} has published another definition of it than imports.json holds"
        raise VersionRequired(f"view {view.ref!r}", found, f"Run: stackwright import {view.ref}")
    return published


def _unpublished(name: str, namespace: Namespace) -> UnknownName:
    known = [view.ref for view in namespace.definitions.views]
    found = f"{namespace.name!r} has not published it. Published there: {', '.join(known) or 'nothing'}"
    return UnknownName(f"view {name!r}", found, did_you_mean(name, known) or "See: stackwright features")


def _store_note(stack: Stack, view: FeatureView, published: Mapping[str, Any]) -> Iterable[str]:
    here, there = _store(stack), published["store"]
    if here != there:
        yield f"{view.ref} lies in {there}; this project reads {here}: rows are found if that is the same store."


def _store(stack: Stack) -> str:
    """Return where the history of a project lies, in words that are equal where the place is."""
    choice = stack.plan.choices.get("offline") or stack.plan.choices.get("feature_store")
    if choice is None:
        return "no store"
    resolved = options.places(choice.part, choice.spec, stack.project.folder)
    return " ".join([choice.spec.name, *(f"{key}={plain(value)}" for key, value in sorted(resolved.items()))])


def publish(stack: Stack, definitions: Definitions) -> None:
    """Put the views of the project's namespace into the shared catalogue, and write down which others it reads.

    Raises:
        VersionRequired: another project has published another meaning of a view.
        DefinitionError: a view is gone that other teams use.
    """
    part = stack.blueprint.catalogue
    if part is None:
        return
    catalogue = catalogue_of(stack)
    own = [view for view in definitions.views if namespace_of(view.name) == part.namespace]
    catalogue.change(part.namespace, partial(_published, stack, own))
    foreign = [view for view in definitions.views if namespace_of(view.name) not in ("", part.namespace)]
    read = {namespace_of(view.name) for view in foreign}
    read |= {namespace.name for namespace in catalogue.namespaces() if any(_ours(stack, use) for use in namespace.uses)}
    for name in sorted(read):
        views = [view for view in foreign if namespace_of(view.name) == name]
        catalogue.change(name, partial(_used, stack, definitions, views))


def _published(stack: Stack, own: Sequence[FeatureView], found: Namespace) -> Namespace:
    project = stack.blueprint.name
    kept = {view.ref: view for view in found.definitions.views}
    lines = dict(found.published)
    gone = [ref for ref in kept if lines[ref]["project"] == project and ref not in {view.ref for view in own}]
    for ref in gone:
        users = sorted({f"{use['by']} ({use['project']})" for use in found.uses if use["view"] == ref})
        if users:
            what = f"it is gone, and {', '.join(users)} reads it"
            raise DefinitionError(f"view {ref!r}", what, "Keep it until nobody imports it.")
        del kept[ref], lines[ref]
    changed = [f"withdrew {ref}" for ref in gone]
    published = imports.with_entities(own)
    check_versions(found.definitions, published)
    for view in published.views:
        if kept.get(view.ref) != view:
            changed.append(f"published {view.ref}")
            line = {"project": project, "store": _store(stack), **_stamp(stack)}
            lines[view.ref] = {**line, "project": lines.get(view.ref, line)["project"]}
            kept[view.ref] = view
    after = found.with_views(kept.values(), lines)
    return after.noted({"what": changed, **_stamp(stack)}) if changed else found


def _used(stack: Stack, definitions: Definitions, views: Sequence[FeatureView], found: Namespace) -> Namespace:
    before = {use["view"]: use for use in found.uses if _ours(stack, use)}
    after = {view.ref: _services_of(definitions, view) for view in views}
    if {ref: list(use["services"]) for ref, use in before.items()} == after:
        return found
    others = [use for use in found.uses if not _ours(stack, use)]
    by = {"by": _part(stack).namespace, "project": stack.blueprint.name}
    uses = [{"view": ref, "services": services, **by, **_stamp(stack)} for ref, services in after.items()]
    return replace(found, uses=(*others, *uses)).noted({"what": "used", "views": sorted(after), **by, **_stamp(stack)})


def _ours(stack: Stack, use: Mapping[str, Any]) -> bool:
    return (use["by"], use["project"]) == (_part(stack).namespace, stack.blueprint.name)


def _services_of(definitions: Definitions, view: FeatureView) -> list[str]:
    return [
        service.ref
        for service in definitions.services
        if any(selection.view.ref == view.ref for selection in service.selections)
    ]


def _stamp(stack: Stack) -> dict[str, str]:
    return {"who": who(), "at": stack.clock().isoformat()}


def share(stack: Stack, view: str, *, to: str, why: str = "", revoke: bool = False) -> Outcome:
    """Permit another team to import a view of the project's namespace, or withdraw that.

    Args:
        view: ``namespace/name@version``; without a version, every version of it.
        to: the team's namespace, or ``everyone``.

    Raises:
        UnknownName: the project has not published such a view.
        DefinitionError: the permission to withdraw is in use.
    """
    part, catalogue = _part(stack), catalogue_of(stack)

    def edit(found: Namespace) -> Namespace:
        known = [ref for item in found.definitions.views for ref in (item.ref, item.name)]
        if view not in known:
            raise _unpublished(view, found)
        grants = tuple(grant for grant in found.grants if (grant["view"], grant["to"]) != (view, to))
        had = len(grants) < len(found.grants)
        if had != revoke:
            return found
        line = {"view": view, "to": to, "why": why, **_stamp(stack)}
        after = replace(found, grants=grants if revoke else (*grants, line))
        _refuse_while_used(after)
        return after.noted({"what": "revoked" if revoke else "shared", **line})

    before = catalogue.namespace(part.namespace)
    changed = catalogue.change(part.namespace, edit) != before
    verb = "no longer shared" if revoke else "shared"
    title = f"{view} is {verb} with {to}" + ("" if changed else " already")
    return Outcome(title, {"view": view, "to": to, "shared": not revoke, "changed": changed})


def _refuse_while_used(after: Namespace) -> None:
    for use in after.uses:
        view = after.view(use["view"])
        if view is not None and not after.permits(view, use["by"]):
            found = f"project {use['project']!r} of {use['by']!r} reads it"
            raise DefinitionError(f"view {view.ref!r}", found, "Agree with them first: they drop it and run apply.")


def import_view(stack: Stack, ref: str) -> Outcome:
    """Write another team's view into ``imports.json``, where feature files find it.

    Raises:
        UnknownName: nobody has published such a view.
        DefinitionError: it is not shared with the project's namespace.
    """
    part, catalogue = _part(stack), catalogue_of(stack)
    owner = namespace_of(ref)
    if owner in ("", part.namespace):
        found = f"{ref!r} names no other team's view"
        raise UsageError("import", found, "Name it namespace/name@version; see: stackwright features")
    namespace = catalogue.namespace(owner)
    wanted = namespace.view(ref)
    if wanted is None:
        raise _unpublished(ref, namespace)
    view = _check_import(namespace, wanted, part.namespace)
    known = {item.ref: item for item in imports.read_imports(stack.project.folder)}
    changed = known.get(ref) != view
    if changed:
        write_json(stack.project.folder / imports.FILE, imports.imports_document({**known, ref: view}.values()))
    data = {"view": ref, "changed": changed, "features": [field.name for field in view.features]}
    hint = f'In features.py: {view.name.rpartition("/")[2]} = imported("{ref}", beside=__file__)'
    return Outcome(f"Imported {ref}" if changed else f"{ref} is imported already", data, notes=(hint,))


def users_elsewhere(stack: Stack) -> dict[str, list[str]]:
    """Return view reference → the other projects that read it, as ``namespace/project``; empty without a catalogue."""
    found: dict[str, list[str]] = {}
    for namespace in _namespaces(stack):
        for use in namespace.uses:
            if not _ours(stack, use):
                found.setdefault(use["view"], []).append(f"{use['by']}/{use['project']}")
    return found


def imports_elsewhere(stack: Stack) -> dict[str, list[tuple[str, str]]]:
    """Return view reference → (``namespace/project:service``, who) of other projects that read it.

    A project whose services do not select it is named without one. Empty without a catalogue.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for namespace in _namespaces(stack):
        for use in namespace.uses:
            if not _ours(stack, use):
                project = f"{use['by']}/{use['project']}"
                names = [f"{project}:{service}" for service in use["services"]] or [project]
                found.setdefault(use["view"], []).extend((name, use["who"]) for name in names)
    return found


def offered(stack: Stack) -> list[tuple[FeatureView, bool]]:
    """Return the views of other teams, each with whether the project may import it; empty without a catalogue."""
    own = stack.blueprint.catalogue.namespace if stack.blueprint.catalogue else ""
    others = (namespace for namespace in _namespaces(stack) if namespace.name != own)
    return [(view, namespace.permits(view, own)) for namespace in others for view in namespace.definitions.views]


def _namespaces(stack: Stack) -> Iterable[Namespace]:
    return catalogue_of(stack).namespaces() if stack.blueprint.catalogue else ()
