"""Create a project: `s2s.toml`, and number words for the recipe `numbers`."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import SPLITS, Layout, backup_names
from pipelines.config import Config, init_config, init_text
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
"""Share of unseen words above which characters are better tokens than words."""

Values = Mapping[str, Any]
"""`section.key` -> value."""


def names_text(values: Values) -> bool:
    """Return whether settings name the user's own text."""
    return any(f"data.{split}" in values for split in SPLITS)


def run(folder: Path, recipe: str, values: Values, *, force: bool) -> Path:
    """Write a new project without losing a file of the user.

    Args:
        folder: Folder of the project; it is created if it does not exist.
        recipe: Name of the recipe whose settings go into `s2s.toml`.
        values: `section.key` -> value, which replaces the recipe's. File names are
            relative to the current folder, and the files must exist. Languages that
            are not given are read from the file names.
        force: Replace an existing `s2s.toml`, and keep its text in `s2s.toml.bak`.

    Returns:
        The path of `s2s.toml`.

    Raises:
        UsageError: A file exists already, or the languages are not known.
        CorpusError: A named file does not exist.
        ConfigError: The recipe or a setting is unknown or wrong, or num2words lacks a
            language.
    """
    settings = Layout(folder).settings
    config = init_config(recipe, dict(values))
    if recipe == NUMBERS and not names_text(values):
        languages = config.data.source_lang, config.data.target_lang
        names = [f"{split}.{lang}" for split in SPLITS for lang in languages]
        corpus = [folder / _FOLDER / name for name in names]
        _refuse_existing(settings, corpus, force=force)
        data, texts = _number_words(folder, languages, values)
    else:
        _refuse_existing(settings, [], force=force)
        data, texts = _own_text(folder, recipe, config, values), {}
    text = init_text(recipe, {**values, **data}).encode()
    _refuse_other_texts(texts)
    _write(settings, text, texts)
    return settings


# Existing files ----------------------------------------------------------------------


def _refuse_existing(settings: Path, corpus: Sequence[Path], *, force: bool) -> None:
    """Refuse existing files; with `force` leave that to `_refuse_other_texts`."""
    for folder in {settings.parent, *(path.parent for path in corpus)}:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file, expected a folder or nothing")
    existing = [path for path in (settings, *corpus) if os.path.lexists(path)]
    if not existing or force:
        return
    verb = "exists" if len(existing) == 1 else "exist"
    raise UsageError(
        f"{', '.join(map(str, existing))} {verb} already",
        hint="edit s2s.toml or choose another folder; --force replaces s2s.toml"
        if existing[0] == settings
        else _own_text_hint(corpus),
    )


def _refuse_other_texts(texts: Mapping[Path, bytes]) -> None:
    """Refuse to replace an existing text by a different one."""
    different = [
        path
        for path, text in texts.items()
        if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == text)
    ]
    if different:
        raise UsageError(
            f"{', '.join(map(str, different))}: --force replaces no text, and this is "
            "not what the recipe numbers would write",
            hint=_own_text_hint([*texts]),
        )


def _own_text_hint(corpus: Sequence[Path]) -> str:
    src, tgt = corpus[:2]
    return (
        f"choose another folder; s2s init --train {src} {tgt} --valid ... "
        "creates a project for that text"
    )


def _write(settings: Path, text: bytes, texts: Mapping[Path, bytes]) -> None:
    """Write the texts that do not exist yet, then `s2s.toml`."""
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
    """Generate the text, and the settings that name it and fit it."""
    splits = number_pairs(languages=languages)
    settings: dict[str, Any] = {
        f"data.{split}": [f"{_FOLDER}/{split}.{language}" for language in languages]
        for split in SPLITS
    }
    summary = "number words {} -> {}: {:,}, {:,} and {:,} pairs".format(
        *languages, *(len(splits[split]) for split in SPLITS)
    )
    if len(splits["train"]) < NUM_TRAIN:
        summary += ", which is all that num2words has"
    unseen = share_of_unseen_words(splits)
    if unseen > _MOST_UNSEEN_WORDS and "preprocess.tokenizer" not in values:
        settings["preprocess.tokenizer"] = "characters"
        summary += (
            f"; tokenizer characters, as the training pairs lack {100 * unseen:.0f} % "
            "of the words to translate"
        )
    log.info("%s", summary)
    files = number_files(splits, languages)
    return settings, {folder / _FOLDER / name: text for name, text in files.items()}


# The user's own text -----------------------------------------------------------------


def _own_text(
    folder: Path, recipe: str, config: Config, values: Values
) -> dict[str, Any]:
    """Return the settings that name the user's files relative to the project."""
    splits = config.data.splits()
    named = {s: splits.get(s, ()) for s in SPLITS if f"data.{s}" in values}
    settings: dict[str, Any] = {}
    for split, pairs in named.items():
        files = [[_from_project(name, folder) for name in pair] for pair in pairs]
        settings[f"data.{split}"] = files[0] if len(files) == 1 else files
    if recipe == NUMBERS:  # its other splits name number words, which are not written
        settings |= {f"data.{s}": [] for s in SPLITS if s not in named}
    corpora = [pair for pairs in named.values() for pair in pairs]
    return settings | (_languages(corpora, config, values) if corpora else {})


def _from_project(name: str, folder: Path) -> str:
    """Return a path as seen from the project: relative if it was given as relative."""
    path = Path(name)
    if not path.is_file():
        raise CorpusError(
            f"{path} not found", hint="file names are relative to the current folder"
        )
    if path.is_absolute():
        return str(path)
    return os.path.relpath(path.resolve(), folder.resolve())


def _languages(
    corpora: Sequence[FileNames], config: Config, values: Values
) -> dict[str, str]:
    """Return the languages that are not given, read from the names of the files."""
    languages: dict[str, str] = {}
    missing: dict[str, str] = {}  # option -> tokenizer
    for index, (side, option) in enumerate(_SIDES):
        key = f"data.{side}_lang"
        named = languages_of(Path(pair[index]) for pair in corpora)
        if key in values:
            _warn_of_others(named, str(values[key]), option)
            continue
        _require_one_language(named, side, option)
        languages[key] = next(iter(named), UNKNOWN)
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
            "preprocess.tokenizer=characters, or none if spaces separate symbols",
        )
    shown = " -> ".join(
        languages.get(f"data.{side}_lang", getattr(config.data, f"{side}_lang"))
        for side, _ in _SIDES
    )
    if missing:
        log.info(
            "languages %s: not in the file names; to name them, add %s",
            shown,
            _codes(missing),
        )
    elif languages:
        log.info("languages from the file names: %s", shown)
    return languages


def _codes(options: Iterable[str]) -> str:
    return " ".join(f"{option} CODE" for option in options)


def _require_one_language(named: Mapping[str, Path], side: str, option: str) -> None:
    """Refuse file names of one side that name two languages."""
    first, *others = named or ("",)
    for other in others:
        if main_language(other) != main_language(first):
            raise UsageError(
                f"the {side} files have names of two languages: {named[first]} is "
                f"{first}, {named[other]} is {other}",
                hint=f"name the source file first in each pair, or add {option} CODE",
            )


def _warn_of_others(named: Mapping[str, Path], given: str, option: str) -> None:
    """Warn if file names name another language than the one that was given."""
    for language, path in named.items():
        if main_language(language) != main_language(given):
            log.warning("%s %s, but the name %s says %s", option, given, path, language)
