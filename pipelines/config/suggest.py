"""Suggestions for an unknown name of a setting, a variable or an option.

The same name in another section or another toolkit (`aliases`) is preferred to the most
similar spelling.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pipelines.config import aliases

ENVIRONMENT_PREFIX = "S2S_"
_MAX_SUGGESTIONS = 3
# Smallest similarity (0 to 1) at which a spelling is suggested: of a setting in the
# same section, of any setting, of another toolkit's name, and of a name with a note.
_SAME_SECTION, _ANYWHERE, _ALIAS, _NOTE = 0.7, 0.75, 0.85, 0.9


@dataclass(frozen=True, slots=True)
class Advice:
    """The settings that a user may have meant.

    Attributes:
        keys: Settings, `section.key`.
        note: A sentence about what exists instead.
        similarity: Similarity of the name to the one it was taken for; 1 if equal.
    """

    keys: tuple[str, ...] = ()
    note: str = ""
    similarity: float = 1.0


def setting_hint(name: str, known: Sequence[str]) -> str:
    """Return the hint for an unknown setting in a file or --set; empty if none fits."""
    return _hint_in_file(name, advise(name, known), lambda key: key)


def variable_hint(variable: str, known: Sequence[str]) -> str:
    """Return the hint for an unknown variable `S2S_...`; empty if none fits."""
    name = variable.removeprefix(ENVIRONMENT_PREFIX).replace("__", ".")
    return _hint_in_file(name, advise(name, known), variable_of)


def option_hint(
    option: str, *, command: str, options: Sequence[str], known: Sequence[str]
) -> str:
    """Return the hint for an option that a command does not have; empty if none fits.

    Args:
        option: The option as typed, without a value.
        command: Name of the command; settings of its section are preferred.
        options: The options of the command.
        known: Every `section.key`.
    """
    same = [own for own in options if _bare(own) == _bare(option)]
    if same:
        return _hint(same[:1])
    name = option.lstrip("-")
    elsewhere = _options_called(name)
    here = [own for _, own in elsewhere if own in options]
    advice = advise(name, known, section=command)
    in_section = [key for key in advice.keys if _section(key) == command]
    keys = in_section if here else advice.keys
    settings = [_as_option(key, options) for key in keys]
    others = [] if in_section else [f"s2s {other} {own}" for other, own in elsewhere]
    named = here or others
    if advice.similarity == 1:
        return _hint([*named, *settings], advice.note)
    similarity, spelled = max(
        ((_similarity(own, option), own) for own in options), default=(0.0, "")
    )
    if not named and similarity >= max(_ANYWHERE, advice.similarity):
        return _hint([spelled])
    return _hint(named or settings, advice.note)


def advise(name: str, known: Sequence[str], *, section: str = "") -> Advice:
    """Return the settings that a name may mean.

    Args:
        name: `section.key`, or a key alone; hyphens count as underscores.
        known: Every `section.key`.
        section: The section to prefer if the name has none.
    """
    name = name.lower().replace("-", "_").strip("_.")
    exact = tuple(key for key in known if _bare(key) == _bare(name))
    if exact:
        return Advice(exact)
    readings = list(_readings(name, _sections(known), section))
    for its_section, last in readings:
        if (advice := _named(its_section, last, known)) is not None:
            return advice
    return max(
        (_misspelled(its_section, last, known) for its_section, last in readings),
        key=lambda advice: advice.similarity,
    )


def variable_of(key: str) -> str:
    """Return the variable that sets `section.key`."""
    return ENVIRONMENT_PREFIX + key.upper().replace(".", "__")


def _readings(
    name: str, sections: Sequence[str], preferred: str
) -> Iterable[tuple[str, str]]:
    """Yield the section and key that a name may mean: `train_lr` may be `train.lr`."""
    section, _, last = name.rpartition(".")
    section = section.partition(".")[0]
    if section:
        near = difflib.get_close_matches(section, sections, n=1)
        yield aliases.SECTIONS.get(section, near[0] if near else section), last
        return
    yield preferred, last
    for section in sections:
        if last.startswith(f"{section}_"):
            yield section, last.removeprefix(f"{section}_")


def _named(section: str, last: str, known: Sequence[str]) -> Advice | None:
    """Return the settings with exactly this name, in s2s or in another toolkit."""
    advice = _vocabulary(known).get(_bare(last))
    return advice and replace(advice, keys=_prefer(section, advice.keys))


def _misspelled(section: str, last: str, known: Sequence[str]) -> Advice:
    """Return the settings whose spelling is most similar to this name."""
    best, most = Advice(similarity=0.0), 0.0
    own = {_bare(key.rpartition(".")[2]) for key in known}
    for spelling, advice in _vocabulary(known).items():
        similarity = _similarity(spelling, last)
        same = any(_section(key) == section for key in advice.keys)
        if advice.note:
            cutoff = _NOTE
        elif spelling not in own:
            cutoff = _ALIAS
        else:
            cutoff = _SAME_SECTION if same else _ANYWHERE
        if similarity > cutoff and similarity + 0.1 * same > most:
            most = similarity + 0.1 * same
            keys = _prefer(section, advice.keys)
            best = Advice(keys, advice.note, min(similarity, 0.99))
    return best


def _vocabulary(known: Sequence[str]) -> dict[str, Advice]:
    """Return what each name without separators may mean, our own names first."""
    vocabulary: dict[str, Advice] = {}
    names = [(key.rpartition(".")[2], key) for key in known]
    for key, others in aliases.SETTINGS.items():
        names += [(other, key) for other in others.split() if key in known]
    for name, key in names:
        keys = vocabulary.get(_bare(name), Advice()).keys
        vocabulary[_bare(name)] = Advice((*keys, key) if key not in keys else keys)
    for others, note in aliases.NOTES.items():
        for name in map(_bare, others.split()):
            vocabulary[name] = replace(vocabulary.get(name, Advice()), note=note)
    return vocabulary


def _prefer(section: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the settings of the section if there are any, else all."""
    return tuple(key for key in keys if _section(key) == section) or keys


def _options_called(name: str) -> list[tuple[str, str]]:
    """Return the commands and options that have this name here or elsewhere."""
    return [
        where
        for where, names in aliases.OPTIONS.items()
        if _bare(name) in map(_bare, [where[1], *names.split()])
    ]


def _hint_in_file(name: str, advice: Advice, show: Callable[[str], str]) -> str:
    last = name.rpartition(".")[2]
    options = " or ".join(f"s2s {c} {o}" for c, o in _options_called(last))
    if not options:
        return _hint(map(show, advice.keys), advice.note)
    keys = advice.keys if advice.similarity == 1 else ()
    return _hint(map(show, keys), advice.note or f"as an option: {options}")


def _as_option(key: str, options: Sequence[str]) -> str:
    """Return how a command line sets this: by an option of its own if there is one."""
    flag = "--" + key.rpartition(".")[2].replace("_", "-")
    return flag if flag in options else f"--set {key}=…"


def _hint(names: Iterable[str], note: str = "") -> str:
    *first, last = list(dict.fromkeys(names))[:_MAX_SUGGESTIONS] or [""]
    if not last:
        return note
    names = ", ".join(first) + " or " * bool(first) + last
    return f"did you mean {names}?" + (f" ({note})" if note else "")


def _sections(known: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(_section(key) for key in known if "." in key))


def _section(key: str) -> str:
    return key.rpartition(".")[0]


def _bare(name: str) -> str:
    return name.lower().lstrip("-").translate(_SEPARATORS)


def _similarity(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, _bare(one), _bare(other)).ratio()


_SEPARATORS = str.maketrans("", "", "-_.")
