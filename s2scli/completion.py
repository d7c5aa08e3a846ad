"""Shell completion: what TAB offers for the values of options and arguments.

Every function returns completions, some with a description; Typer keeps those that
begin with the incomplete word. They come from the schema and from folders on disk, and
nothing here imports torch.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import typer

from pipelines.artifacts.layout import CHECKPOINT, STAGES, TRANSLATED_SPLITS
from pipelines.artifacts.manifest import read_manifest
from pipelines.config import Config, load, recipe_names
from pipelines.config.fields import field_of, known_keys
from pipelines.errors import S2SError

Completions = list[str] | list[tuple[str, str]]

_VARIABLE = "_S2S_COMPLETE"
_BASH = "complete_bash"
_NEVER_WRAP = "10000"
_MODELS_BELOW = ("*", "checkpoints/*", "train/checkpoints/*", "*/train/checkpoints/*")


def complete_stage() -> Completions:
    """Offer the stages in order."""
    return list(STAGES)


def complete_split() -> Completions:
    """Offer the splits that can be translated."""
    return list(TRANSLATED_SPLITS)


def values_of(key: str) -> Callable[[], Completions]:
    """Return a completion function for an option that sets `section.key`."""

    def complete() -> Completions:
        return _values(key, Config())

    return complete


def complete_setting(incomplete: str) -> Completions:
    """Offer sections and settings, as `config show` takes them."""
    sections = [pair for pair in _sections().items() if pair[0].startswith(incomplete)]
    if "." in incomplete or len(sections) == 1:
        settings = [(key, text) for key, text in _meanings().items() if "." in key]
        return [*sections, *settings]
    return sections


def complete_override(ctx: typer.Context, incomplete: str) -> Completions:
    """Offer settings for `--set`: a section, then a key, then a value.

    A shell adds a space after the only completion that is left. So the only section
    left is offered with its keys, and the only key left with its values.
    """
    key, equals, _ = incomplete.partition("=")
    meanings = _meanings()
    if equals:
        return [f"{key}={value}" for value in _values(key, _settings(ctx))]
    sections = [name for name in _sections() if name.startswith(key)]
    if len(sections) > 1:
        return [name if name in meanings else f"{name}." for name in sections]
    keys = [name for name in meanings if name.startswith(key)]
    completions = [(f"{name}=", meanings[name]) for name in keys]
    if len(keys) == 1:
        values = _values(keys[0], _settings(ctx))
        completions += [(f"{keys[0]}={value}", "") for value in values]
    return completions


def complete_model(incomplete: str) -> Completions:
    """Offer projects that have a checkpoint, checkpoints, and averages."""
    return [
        *_folders(incomplete, ("*",), _has_checkpoints),
        *_folders(incomplete, _MODELS_BELOW, _is_model),
    ]


def complete_checkpoint(incomplete: str) -> Completions:
    """Offer checkpoints that a training wrote."""
    return [*_folders(incomplete, _MODELS_BELOW, _is_checkpoint)]


@contextmanager
def shell_completion() -> Iterator[None]:
    """Adapt a shell's completion request and Typer's reply; else do nothing.

    Bash splits words at `=` and `:`, so it passes `--set train.optimizer=a` as four
    words and replaces only the last one. Typer is given the two words that were typed,
    and bash the completions without the part before its last split.
    """
    shell = os.environ.get(_VARIABLE, "")
    if shell:
        # Typer wraps descriptions, and a shell reads one completion from each line.
        os.environ["COLUMNS"] = _NEVER_WRAP
    if shell != _BASH:
        yield
        return
    words = os.environ.get("COMP_WORDS", "").split("\n")
    last = int(os.environ.get("COMP_CWORD", "0"))
    joined, kept = join_words(words[: last + 1])
    os.environ["COMP_WORDS"] = "\n".join(joined)
    os.environ["COMP_CWORD"] = str(len(joined) - 1)
    reply = io.StringIO()
    try:
        with redirect_stdout(reply):
            yield
    finally:
        # After `--option=` Typer offers values without the option.
        prefixes = kept, kept.partition("=")[2]
        for line in reply.getvalue().splitlines():
            prefix = next((p for p in prefixes if line.startswith(p)), "")
            sys.stdout.write(line.removeprefix(prefix) + "\n")


def join_words(words: Sequence[str]) -> tuple[list[str], str]:
    """Join the words that bash split at `=` and `:`.

    Args:
        words: The words up to the one to complete; each run of `=` and `:` is a word.

    Returns:
        The words as typed, and the part of the last one that bash keeps.
    """
    joined: list[str] = []
    kept, follows_separator = "", False
    for word in words:
        is_separator = bool(word) and not word.strip("=:")
        if joined and (is_separator or (follows_separator and word)):
            kept = joined[-1] + (word if is_separator else "")
            joined[-1] += word
        else:
            kept = ""
            joined.append(word)
        follows_separator = is_separator
    return joined, kept


def _sections() -> dict[str, str]:
    """Return sections, and settings outside any section: name -> meaning."""
    sections: dict[str, str] = {}
    for name, field in Config.model_fields.items():
        text = field.description or getattr(field.annotation, "__doc__", None) or ""
        sections[name] = _escape(" ".join(text.split()))
    return sections


def _meanings() -> dict[str, str]:
    """Return all settings: `section.key` -> meaning."""
    return {key: _escape(field_of(key).meaning) for key in known_keys()}


def _escape(text: str) -> str:
    """Escape brackets, which Typer would read as markup."""
    return text.replace("[", r"\[")


def _settings(ctx: typer.Context) -> Config:
    """Load the settings of the project on the command line, else the defaults."""
    try:
        return load(ctx.params.get("folder") or Path(), environ=os.environ).config
    except (S2SError, OSError):
        return Config()


def _values(key: str, config: Config) -> list[str]:
    """Return the words that a setting accepts, and its current value."""
    if key not in known_keys():
        return []
    section, _, name = key.rpartition(".")
    field = field_of(key)
    words = [*field.words]
    if isinstance(field.default, bool):
        words = ["true", "false"]
    elif key == "recipe":
        words = recipe_names()
    current = getattr(getattr(config, section) if section else config, name)
    if isinstance(current, str | int | float) and not isinstance(current, bool):
        words.append(str(current))
    return list(dict.fromkeys(words))


def _folders(
    incomplete: str, patterns: Sequence[str], is_wanted: Callable[[Path], bool]
) -> Iterator[str]:
    """Yield folders below the one that `incomplete` begins with, in its spelling."""
    parent, slash, _ = incomplete.rpartition("/")
    root = Path(parent + slash).expanduser()
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            name = parent + slash + str(path.relative_to(root))
            # Typer's script for bash does not quote names.
            if not any(map(str.isspace, name)) and is_wanted(path):
                yield name


def _stage_of(folder: Path) -> str:
    """Return the stage in a folder's manifest; empty without a manifest."""
    try:
        return read_manifest(folder).stage
    except (S2SError, OSError):
        return ""


def _is_checkpoint(folder: Path) -> bool:
    return _stage_of(folder) == CHECKPOINT


def _is_model(folder: Path) -> bool:
    return _stage_of(folder) not in ("", *STAGES)


def _has_checkpoints(folder: Path) -> bool:
    return any(map(_is_checkpoint, folder.glob("train/checkpoints/*")))
