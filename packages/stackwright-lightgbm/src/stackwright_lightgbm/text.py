"""What is read of LightGBM's text without its parser.

The parser ends the process over a text that was cut short. The header gives the size of each tree, so a cut is found
by arithmetic. What was altered in place is found by the manifest's hashes, not here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from stackwright_interfaces.errors import ArtifactError

_TODO: Final = "Restore the file, or publish the model again."
_LEAVES: Final = re.compile(rb"(?m)^num_leaves=(\d+)$")
_SPLITS: Final = re.compile(rb"(?m)^split_feature=(.*)\n(?:.*\n)??threshold=(.*)\ndecision_type=(.*)$")
_CATEGORICAL: Final = 1
"""The bit of a decision's type that says so."""


def check_text(text: bytes, inputs: Sequence[str], where: str) -> None:
    """Check that a text is whole and takes these inputs.

    Args:
        text: LightGBM's text form of a model.
        inputs: names of the model's inputs, in order.
        where: what the error calls the text.

    Raises:
        ArtifactError: the text is cut short, is of more than one output, or takes other inputs.
    """
    head, _, trees = text.partition(b"\n\n")
    header = dict(line.partition(b"=")[::2] for line in head.split(b"\n"))
    if not head.startswith(b"tree\nversion=") or not {b"num_class", b"feature_names", b"tree_sizes"} <= set(header):
        raise ArtifactError(where, "not LightGBM's text form, or cut short in its header", _TODO)
    _check_trees(header[b"tree_sizes"], trees, where)
    if header[b"num_class"] != b"1":
        raise ArtifactError(where, f"a model of {header[b'num_class'].decode()} outputs, where one is wanted", _TODO)
    names = header[b"feature_names"].decode(errors="replace").split()
    if names != list(inputs):
        found = f"the model takes {', '.join(names)}; the manifest names {', '.join(inputs)}"
        raise ArtifactError(where, found, "Publish the model again.")


def _check_trees(sizes: bytes, trees: bytes, where: str) -> None:
    position = 0
    for number, size in enumerate(sizes.split()):
        if not trees.startswith(b"Tree=%d\n" % number, position) or not size.isdigit():
            raise ArtifactError(where, f"cut short or damaged at tree {number}", _TODO)
        position += int(size)
    if not trees.startswith(b"end of trees\n", position) or not trees.rstrip().endswith(b"pandas_categorical:null"):
        raise ArtifactError(where, "cut short or damaged after its trees", _TODO)


def leaves_of(text: bytes) -> int:
    """Return how many leaves a model's trees have together."""
    return sum(int(count) for count in _LEAVES.findall(text))


def splits_of(text: bytes) -> dict[int, list[float]]:
    """Return the numbers at which trees split: place of the input → thresholds. Sets of categories are left out."""
    found: dict[int, list[float]] = {}
    for places, thresholds, kinds in _SPLITS.findall(text):
        for place, threshold, kind in zip(places.split(), thresholds.split(), kinds.split(), strict=True):
            if not int(kind) & _CATEGORICAL:
                found.setdefault(int(place), []).append(float(threshold))
    return found
