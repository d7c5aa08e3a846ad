"""Make a project: `s2s.toml`, and number words for the recipe `numbers`."""

import logging
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import SPLITS, Layout, backup_names
from pipelines.config import Config, init_text
from pipelines.config.schema import FileNames
from pipelines.errors import CorpusError, UsageError
from pipelines.text.languages import UNKNOWN, languages_of, main_language
from pipelines.text.number_words import (
    NUM_TRAIN,
    number_files,
    number_pairs,
    share_of_unseen_words,
)

log = logging.getLogger(__name__)

NUMBERS = "numbers"

_FOLDER = "data"
_SIDES = (("source", "-s"), ("target", "-t"))
_MOST_UNSEEN_WORDS = 0.005
"""Share of unseen words above which whole words are no good tokens."""

Values = Mapping[str, Any]
"""`section.key` -> value."""


def names_text(values: Values) -> bool:
    """Whether settings name text of the user's own."""
    return any(f"data.{split}" in values for split in SPLITS)


def run(folder: Path, recipe: str, values: Values, *, force: bool) -> Path:
    """Write a new project; no file of the user is lost.

    Args:
        folder: Made if it is not there.
        recipe: Whose settings go into `s2s.toml`.
        values: `section.key` -> value, in place of the recipe's. File names are taken
            from the current folder and must exist. Languages that are not given are
            read from them.
        force: Replace an `s2s.toml` that is there; `s2s.toml.bak` keeps its text.

    Returns:
        The path of `s2s.toml`.

    Raises:
        UsageError: A file is there already, or the languages are not known.
        CorpusError: A named file does not exist.
        ConfigError: The recipe or a setting is unknown or wrong, or num2words lacks a
            language.
    """
    settings = Layout(folder).settings
    config = Config.model_validate(tomllib.loads(init_text(recipe, dict(values))))
    if recipe == NUMBERS and not names_text(values):
        languages = config.data.source_lang, config.data.target_lang
        names = [f"{split}.{lang}" for split in SPLITS for lang in languages]
        corpus = [folder / _FOLDER / name for name in names]
        _require_free(settings, corpus, force=force)
        found, texts = _number_words(folder, languages, values)
    else:
        _require_free(settings, [], force=force)
        found, texts = _own_text(folder, recipe, config, values), {}
    text = init_text(recipe, {**values, **found}).encode()
    _require_same(texts)
    _write(settings, text, texts)
    return settings


# What is there already ---------------------------------------------------------------


def _require_free(settings: Path, corpus: Sequence[Path], *, force: bool) -> None:
    """Refuse to write where there are files; `force` leaves that to `_require_same`."""
    for folder in {settings.parent, *(path.parent for path in corpus)}:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file, expected a folder or nothing")
    there = [path for path in (settings, *corpus) if os.path.lexists(path)]
    if not there or force:
        return
    verb = "exists" if len(there) == 1 else "exist"
    raise UsageError(
        f"{', '.join(map(str, there))} {verb} already",
        hint="edit s2s.toml or choose another folder; --force replaces s2s.toml"
        if there[0] == settings
        else _own_text_hint(corpus),
    )


def _require_same(texts: Mapping[Path, bytes]) -> None:
    """Refuse where a text would become another one."""
    other = [
        path
        for path, text in texts.items()
        if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == text)
    ]
    if other:
        raise UsageError(
            f"{', '.join(map(str, other))}: --force replaces no text, and this is not "
            "what the recipe numbers would write",
            hint=_own_text_hint([*texts]),
        )


def _own_text_hint(corpus: Sequence[Path]) -> str:
    src, tgt = corpus[:2]
    return (
        f"choose another folder; s2s init --train {src} {tgt} --valid ... "
        "makes a project of that text"
    )


def _write(settings: Path, text: bytes, texts: Mapping[Path, bytes]) -> None:
    """Write what is not there yet, `s2s.toml` last."""
    settings.parent.mkdir(parents=True, exist_ok=True)
    for path, content in texts.items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            write_atomic(path, content)
    if settings.exists() and settings.read_bytes() != text:
        kept = next(p for p in backup_names(settings) if not p.exists())
        write_atomic(kept, settings.read_bytes())
        log.info("the old settings are in %s", kept)
    write_atomic(settings, text)


# Number words ------------------------------------------------------------------------


def _number_words(
    folder: Path, languages: tuple[str, str], values: Values
) -> tuple[dict[str, Any], dict[Path, bytes]]:
    """Make the text, and the settings that name it and suit it."""
    splits = number_pairs(languages=languages)
    found: dict[str, Any] = {
        f"data.{split}": [f"{_FOLDER}/{split}.{language}" for language in languages]
        for split in SPLITS
    }
    summary = "number words {} -> {}: {:,}, {:,} and {:,} pairs".format(
        *languages, *(len(splits[split]) for split in SPLITS)
    )
    if len(splits["train"]) < NUM_TRAIN:
        summary += ", all that num2words can say"
    unseen = share_of_unseen_words(splits)
    if unseen > _MOST_UNSEEN_WORDS and "preprocess.tokenizer" not in values:
        found["preprocess.tokenizer"] = "characters"
        summary += (
            f"; tokenizer characters, as training lacks {100 * unseen:.0f} % of the "
            "words to translate"
        )
    log.info("%s", summary)
    files = number_files(splits, languages)
    return found, {folder / _FOLDER / name: text for name, text in files.items()}


# Text of the user's own --------------------------------------------------------------


def _own_text(
    folder: Path, recipe: str, config: Config, values: Values
) -> dict[str, Any]:
    """The settings that name the user's files as seen from the project."""
    splits = config.data.splits()
    named = {s: splits.get(s, ()) for s in SPLITS if f"data.{s}" in values}
    found: dict[str, Any] = {}
    for split, pairs in named.items():
        files = [[_from_project(name, folder) for name in pair] for pair in pairs]
        found[f"data.{split}"] = files[0] if len(files) == 1 else files
    if recipe == NUMBERS:  # its other splits are number words, which are not there
        found |= {f"data.{s}": [] for s in SPLITS if s not in named}
    corpora = [pair for pairs in named.values() for pair in pairs]
    return found | (_languages(corpora, config, values) if corpora else {})


def _from_project(name: str, folder: Path) -> str:
    """A file's path as seen from the project: relative if it was given so."""
    path = Path(name)
    if not path.is_file():
        raise CorpusError(
            f"{path} not found", hint="name files as seen from the current folder"
        )
    if path.is_absolute():
        return str(path)
    return os.path.relpath(path.resolve(), folder.resolve())


def _languages(
    corpora: Sequence[FileNames], config: Config, values: Values
) -> dict[str, str]:
    """The languages that are not given, from the names of the files."""
    found: dict[str, str] = {}
    missing: dict[str, str] = {}  # option -> tokenizer
    for index, (side, option) in enumerate(_SIDES):
        key = f"data.{side}_lang"
        named = languages_of(Path(pair[index]) for pair in corpora)
        if key in values:
            _warn_of_others(named, str(values[key]), option)
            continue
        _require_one(named, side, option)
        found[key] = next(iter(named), UNKNOWN)
        if not named:
            missing[option] = config.preprocess.tokenizers[index]
    needed = [option for option, name in missing.items() if name == "moses"]
    if needed:
        what = "them" if len(missing) == len(_SIDES) else "both"
        raise UsageError(
            f"the tokenizer moses needs the languages, and the names of "
            f"{' and '.join(corpora[0])} do not give {what}",
            hint=f"add {_codes(needed)}, such as -s de -t en; for text of no "
            "language, such as letters or phonemes, --set "
            "preprocess.tokenizer=characters, or none where blanks separate symbols",
        )
    languages = " -> ".join(
        found.get(f"data.{side}_lang", getattr(config.data, f"{side}_lang"))
        for side, _ in _SIDES
    )
    if missing:
        log.info(
            "languages %s: not in the file names; to name them, add %s",
            languages,
            _codes(missing),
        )
    elif found:
        log.info("languages from the file names: %s", languages)
    return found


def _codes(options: Iterable[str]) -> str:
    return " ".join(f"{option} CODE" for option in options)


def _require_one(named: Mapping[str, Path], side: str, option: str) -> None:
    first, *others = named or ("",)
    for other in others:
        if main_language(other) != main_language(first):
            raise UsageError(
                f"the {side} files have names of two languages: {named[first]} is "
                f"{first}, {named[other]} is {other}",
                hint=f"name the source file first in each pair, or add {option} CODE",
            )


def _warn_of_others(named: Mapping[str, Path], given: str, option: str) -> None:
    for language, path in named.items():
        if main_language(language) != main_language(given):
            log.warning("%s %s, but the name %s says %s", option, given, path, language)
