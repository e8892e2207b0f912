"""What can be checked of LightGBM's text before its parser sees it.

The parser ends the process over a text that was cut short. The header gives the size of each tree, so a cut is found
by arithmetic. What was altered in place is found by the manifest's hashes, not here.
"""

from __future__ import annotations

from collections.abc import Sequence

from stackwright_interfaces.errors import ArtifactError

_TODO = "Restore the file, or publish the model again."


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
