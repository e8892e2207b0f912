"""Building a part: its configuration made, its factory imported and called."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from stackwright.assembly import options
from stackwright.assembly.blueprint import Part
from stackwright_interfaces.contracts import bridged
from stackwright_interfaces.errors import PluginError, StackwrightError
from stackwright_interfaces.plugin import AdapterSpec, Context


def make(part: Part, spec: AdapterSpec, project: Path, context: Context) -> Any:
    """Build a part.

    Args:
        project: the folder that its paths are resolved against.

    Raises:
        BlueprintError: a secret cannot be read, or the options are refused.
        PluginError: what the specification names cannot be imported.
    """
    config = options.configure(part, spec, project)
    module, _, name = spec.factory.partition(":")
    try:
        adapter = getattr(import_module(module), name)(config, context)
    except StackwrightError:
        raise
    except (ImportError, AttributeError) as error:
        todo = f"Run: pip install --upgrade stackwright-{spec.name}"
        raise PluginError(part.where, f"adapter {spec.name!r} cannot be loaded ({error})", todo) from error
    return bridged(spec.provides, spec.contract, adapter)
