"""The right name for a wrong one: of a setting, a variable or an option.

A name of another toolkit comes first (`aliases`), then ours in another section, then
what is spelled most like it.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pipelines.config import aliases

ENVIRONMENT_PREFIX = "S2S_"
_MOST = 3  # suggestions for one name
_SAME_SECTION, _ANYWHERE = 0.7, 0.75  # how alike two spellings must be, of 1
_ALIAS, _NOTE = 0.85, 0.9  # the same for another toolkit's name, and for a sentence


@dataclass(frozen=True, slots=True)
class Advice:
    """What a user may have meant.

    Attributes:
        keys: Settings, `section.key`.
        note: A sentence on what there is instead.
        likeness: Of a misspelled name to the one it was taken for; 1 for the same.
    """

    keys: tuple[str, ...] = ()
    note: str = ""
    likeness: float = 1.0


def setting_hint(name: str, known: Sequence[str]) -> str:
    """The hint for an unknown setting in a file or after --set; empty without one."""
    return _hint_in_file(name, advise(name, known), lambda key: key)


def variable_hint(variable: str, known: Sequence[str]) -> str:
    """The hint for an unknown variable `S2S_...`; empty without one."""
    name = variable.removeprefix(ENVIRONMENT_PREFIX).replace("__", ".")
    return _hint_in_file(name, advise(name, known), variable_of)


def option_hint(
    option: str, *, command: str, options: Sequence[str], known: Sequence[str]
) -> str:
    """The hint for an option that a command does not have; empty without one.

    Args:
        option: As it was typed, without a value.
        command: The command's name; settings of its section are preferred.
        options: The options it has.
        known: Every `section.key`.
    """
    same = [own for own in options if _bare(own) == _bare(option)]
    if same:
        return _hint(same[:1])
    name = option.lstrip("-")
    elsewhere = _options_called(name)
    here = [own for _, own in elsewhere if own in options]
    found = advise(name, known, section=command)
    in_section = [key for key in found.keys if _section(key) == command]
    keys = in_section if here else found.keys
    typed = [_as_option(key, options) for key in keys]
    others = [] if in_section else [f"s2s {other} {own}" for other, own in elsewhere]
    named = here or others
    if found.likeness == 1:
        return _hint([*named, *typed], found.note)
    likeness, spelled = max(
        ((_likeness(own, option), own) for own in options), default=(0.0, "")
    )
    if not named and likeness >= max(_ANYWHERE, found.likeness):
        return _hint([spelled])
    return _hint(named or typed, found.note)


def advise(name: str, known: Sequence[str], *, section: str = "") -> Advice:
    """The settings that a name may stand for.

    Args:
        name: `section.key`, or a key alone; hyphens are underscores.
        known: Every `section.key` there is.
        section: Preferred where the name has none.
    """
    name = name.lower().replace("-", "_").strip("_.")
    exact = tuple(key for key in known if _bare(key) == _bare(name))
    if exact:
        return Advice(exact)
    readings = list(_readings(name, _sections(known), section))
    for its_section, last in readings:
        found = _named(its_section, last, known)
        if found is not None:
            return found
    return max(
        (_misspelled(its_section, last, known) for its_section, last in readings),
        key=lambda advice: advice.likeness,
    )


def variable_of(key: str) -> str:
    """The variable that sets `section.key`."""
    return ENVIRONMENT_PREFIX + key.upper().replace(".", "__")


def _readings(
    name: str, sections: Sequence[str], preferred: str
) -> Iterable[tuple[str, str]]:
    """Section and key as they may be meant: `train_lr` is `train.lr`, too."""
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
    """The settings with exactly this name, here or in another toolkit."""
    found = _vocabulary(known).get(_bare(last))
    return found and replace(found, keys=_alone(found.keys, section))


def _misspelled(section: str, last: str, known: Sequence[str]) -> Advice:
    """The settings that are spelled most like this name."""
    best, most = Advice(likeness=0.0), 0.0
    own = {_bare(key.rpartition(".")[2]) for key in known}
    for spelling, advice in _vocabulary(known).items():
        likeness = _likeness(spelling, last)
        same = any(_section(key) == section for key in advice.keys)
        if advice.note:
            cutoff = _NOTE
        elif spelling not in own:
            cutoff = _ALIAS
        else:
            cutoff = _SAME_SECTION if same else _ANYWHERE
        if likeness > cutoff and likeness + 0.1 * same > most:
            most = likeness + 0.1 * same
            keys = _alone(advice.keys, section)
            best = Advice(keys, advice.note, min(likeness, 0.99))
    return best


def _vocabulary(known: Sequence[str]) -> dict[str, Advice]:
    """Every name without its separators, ours first, and what it stands for."""
    found: dict[str, Advice] = {}
    names = [(key.rpartition(".")[2], key) for key in known]
    for key, others in aliases.SETTINGS.items():
        names += [(other, key) for other in others.split() if key in known]
    for name, key in names:
        keys = found.get(_bare(name), Advice()).keys
        found[_bare(name)] = Advice((*keys, key) if key not in keys else keys)
    for others, note in aliases.NOTES.items():
        for name in others.split():
            found[_bare(name)] = replace(found.get(_bare(name), Advice()), note=note)
    return found


def _alone(keys: tuple[str, ...], section: str) -> tuple[str, ...]:
    """The settings of the section where there are any, else all."""
    return tuple(key for key in keys if _section(key) == section) or keys


def _options_called(name: str) -> list[tuple[str, str]]:
    return [
        where
        for where, names in aliases.OPTIONS.items()
        if _bare(name) in map(_bare, [where[1], *names.split()])
    ]


def _hint_in_file(name: str, found: Advice, show: Callable[[str], str]) -> str:
    last = name.rpartition(".")[2]
    options = " or ".join(f"s2s {c} {o}" for c, o in _options_called(last))
    if not options:
        return _hint(map(show, found.keys), found.note)
    keys = found.keys if found.likeness == 1 else ()
    return _hint(map(show, keys), found.note or f"as an option: {options}")


def _as_option(key: str, options: Sequence[str]) -> str:
    """How a command line sets this: by a typed flag where there is one."""
    flag = "--" + key.rpartition(".")[2].replace("_", "-")
    return flag if flag in options else f"--set {key}=…"


def _hint(names: Iterable[str], note: str = "") -> str:
    *first, last = list(dict.fromkeys(names))[:_MOST] or [""]
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


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, _bare(one), _bare(other)).ratio()


_SEPARATORS = str.maketrans("", "", "-_.")
