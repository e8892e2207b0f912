"""What may end a command line, and the scripts by which shells ask for it.

A script knows nothing of the verbs, so it need not be made again after an upgrade: it hands over the line up to the
cursor, and shows what comes back. Where nothing does, the shell offers files.
"""

from __future__ import annotations

import argparse
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from stackwright.cli.parsing import joined, parser
from stackwright.cli.verbs import VERBS
from stackwright_interfaces.errors import StackwrightError

Candidate = tuple[str, str]
"""A word, and what it means."""

_BASH: Final = """\
_stackwright() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##*[[:space:]]}"
    COMPREPLY=($("$1" completion bash --line="$line" 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*[=@:]}"}"}") # Bash puts in what follows the last of these signs
}
complete -o bashdefault -o default -F _stackwright stackwright
"""

_ZSH: Final = """\
#compdef stackwright
_stackwright() {
    local -a found
    found=(${(f)"$("${words[1]}" completion zsh --line="${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)"})
    if (( ${#found} )); then _describe stackwright found; else _files; fi
}
if [ "$funcstack[1]" = _stackwright ]; then _stackwright "$@"; else compdef _stackwright stackwright; fi
"""

_FISH: Final = """\
function __stackwright_complete
    set -l line (commandline --current-process --cut-at-cursor | string trim --left)
    set -l program (string split ' ' -- $line)[1]
    set -l found (command $program completion fish --line="$line" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline --current-token --cut-at-cursor)
    end
end
complete --command stackwright --no-files --arguments '(__stackwright_complete)'
"""

SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def listed(shell: str, line: str) -> str:
    """Return what may end a line, in the form that the script of a shell takes: one to a line."""
    found = candidates(line)
    if shell == "bash":
        lines = [word for word, _ in found]
    elif shell == "zsh":
        lines = [word.replace(":", "\\:") + (f":{meaning}" if meaning else "") for word, meaning in found]
    else:
        lines = [f"{word}\t{meaning}".strip() for word, meaning in found]
    return "".join(f"{one}\n" for one in lines)


def candidates(line: str) -> list[Candidate]:
    """Return what may end a line: its last word as it may be, with what that means.

    Args:
        line: the command line up to the cursor, the program's name in front.
    """
    *given, current = _words(line)[1:] or [""]
    words = joined(given)
    verbs = {verb.name: verb.summary for verb in VERBS}
    if not words or words[0] not in verbs:
        found: Iterable[Candidate] = [] if words else _first_words(verbs)
    else:
        found = [*_second_words(words, verbs), *_of_verb(words[0], words[1:], current)]
    return [(word, meaning) for word, meaning in dict(found).items() if word.startswith(current)]


def _words(line: str) -> list[str]:
    """Return the words of a line, the last of which may be cut off or empty."""
    for end in ("", '"', "'"):
        with suppress(ValueError):
            words = shlex.split(line + end)
            return [*words, ""] if line[-1:].isspace() and not end else words
    return []


def _first_words(verbs: Mapping[str, str]) -> Iterator[Candidate]:
    yield from ((name, meaning) for name, meaning in verbs.items() if " " not in name)
    yield from (("--help", "show what there is"), ("--version", verbs["version"]))


def _second_words(words: Sequence[str], verbs: Mapping[str, str]) -> Iterator[Candidate]:
    """Give ``show`` after ``models``."""
    if len(words) == 1:
        both = (name.split(" ") for name in verbs if name.startswith(f"{words[0]} "))
        yield from ((second, verbs[f"{first} {second}"]) for first, second in both)


def _of_verb(verb: str, words: list[str], current: str) -> Iterator[Candidate]:
    actions = next(action for action in parser(verb)._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    options = [action for action in actions.choices[verb]._actions if action.option_strings]  # noqa: SLF001
    places = [action for action in actions.choices[verb]._actions if not action.option_strings]  # noqa: SLF001
    named = {name: action for action in options for name in action.option_strings}
    names = _Names(_project(words))
    option, equals, _ = current.partition("=")
    if words and _takes_a_value(named.get(words[-1])):
        yield from names.of(verb, named[words[-1]])
    elif equals and option in named:
        yield from ((f"{option}={word}", meaning) for word, meaning in names.of(verb, named[option]))
    elif current.startswith("-"):
        yield from ((name, action.help or "") for name, action in named.items() if name not in words)
    else:
        place = _place(places, words, named)
        if place is not None:
            yield from names.of(verb, place)


def _takes_a_value(action: argparse.Action | None) -> bool:
    return action is not None and action.nargs != 0


def _place(
    places: list[argparse.Action], words: Sequence[str], named: Mapping[str, argparse.Action]
) -> argparse.Action | None:
    """Return the positional argument that comes next."""
    befores = ["", *words]
    taken = [
        word
        for before, word in zip(befores, words, strict=False)
        if not word.startswith("-") and not _takes_a_value(named.get(before))
    ]
    if len(taken) < len(places):
        return places[len(taken)]
    return places[-1] if places and places[-1].nargs in ("*", "+") else None


def _project(words: Sequence[str]) -> Path:
    for number, word in enumerate(words):
        option, _, value = word.partition("=")
        if option == "--project":
            return Path(value or next(iter(words[number + 1 :]), "")).expanduser()
    return Path()


class _Names:
    """Names that arguments take: of the project, or of what is installed. What cannot be read has none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, verb: str, action: argparse.Action) -> list[Candidate]:
        """Return what an argument may be."""
        if action.choices is not None:
            return [(str(choice), "") for choice in action.choices]
        source = self._sources().get((verb, action.dest)) or self._sources().get(str(action.metavar))
        with suppress(StackwrightError, OSError, ValueError):
            return [(name, "") for name in source()] if source else []
        return []

    def _sources(self) -> dict[str | tuple[str, str], Callable[[], Iterable[str]]]:
        return {
            "VIEW": lambda: (view.ref for view in self._defined().views),
            "SERVICE": lambda: (service.ref for service in self._defined().services),
            "ENTITY": lambda: (entity.name for entity in self._defined().entities),
            ("label", "target"): lambda: (target.name for target in self._defined().targets),
            "MODEL": lambda: self._written("models", "recommenders"),
            "REF": lambda: self._written("models", "recommenders"),
            ("job", "name"): lambda: self._written("jobs"),
            "ENV": lambda: self._written("env"),
            **{(verb.name, "env"): lambda: self._written("env") for verb in VERBS},
            "SLOT": _slots,
            "ADAPTER": _adapters,
            ("conform", "name"): _adapters,
            ("image", "kind"): _adapters,
            ("new", "blueprint"): _blueprints,
            ("up", "blueprint"): _blueprints,
        }

    def _defined(self) -> Any:
        from stackwright.assembly.project import Project

        return Project.find(self._folder).definitions()

    def _written(self, *sections: str) -> list[str]:
        document = tomllib.loads((self._folder / "blueprint.toml").read_text(encoding="utf-8"))
        tables = [document.get(section) for section in sections]
        return [name for table in tables if isinstance(table, dict) for name in table]


def _adapters() -> list[str]:
    from stackwright.assembly.discovery import Plugins

    return Plugins().names


def _slots() -> list[str]:
    from stackwright.assembly.plan import SLOTS

    return list(SLOTS)


def _blueprints() -> list[str]:
    from stackwright.assembly.discovery import Plugins

    return [blueprint.name for plugin in Plugins().all() for blueprint in plugin.blueprints]
