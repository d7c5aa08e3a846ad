"""Shell completion: what TAB offers for the values of options and arguments.

Every function returns candidates, with a text about each where there is one; Typer
keeps those that begin with the word so far. The schema and the folders on disk are
read, and nothing that loads torch.
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

Candidates = list[str] | list[tuple[str, str]]

_VARIABLE = "_S2S_COMPLETE"
_BASH = "complete_bash"
_NEVER_FOLD = "10000"
_MODELS_BELOW = ("*", "checkpoints/*", "train/checkpoints/*", "*/train/checkpoints/*")


def complete_recipe() -> Candidates:
    """The recipes."""
    return recipe_names()


def complete_stage() -> Candidates:
    """The stages, in their order."""
    return list(STAGES)


def complete_split() -> Candidates:
    """The splits that can be translated."""
    return list(TRANSLATED_SPLITS)


def values_of(key: str) -> Callable[[], Candidates]:
    """A completion function for an option that sets `section.key`."""

    def complete() -> Candidates:
        return _values(key, Config())

    return complete


def complete_setting(incomplete: str) -> Candidates:
    """Sections and settings, as `config show` takes them."""
    sections = _sections()
    found = [name for name in sections if name.startswith(incomplete)]
    meanings = _meanings()
    if "." in incomplete or len(found) == 1:
        below = [(key, text) for key, text in meanings.items() if "." in key]
        return [*((name, sections[name]) for name in found), *below]
    return [(name, sections[name]) for name in found]


def complete_override(ctx: typer.Context, incomplete: str) -> Candidates:
    """Settings for `--set`: a section, then a key, then a value.

    A shell puts a blank behind the one candidate that is left. So the last section
    comes with its keys, and the last key with its values.
    """
    key, equals, _ = incomplete.partition("=")
    meanings = _meanings()
    if equals:
        return [f"{key}={value}" for value in _values(key, _settings(ctx))]
    sections = [name for name in _sections() if name.startswith(key)]
    if len(sections) > 1:
        return [name if name in meanings else f"{name}." for name in sections]
    keys = [name for name in meanings if name.startswith(key)]
    found = [(f"{name}=", meanings[name]) for name in keys]
    if len(keys) == 1:
        name = keys[0]
        found += [(f"{name}={value}", "") for value in _values(name, _settings(ctx))]
    return found


def complete_model(incomplete: str) -> Candidates:
    """Projects with a checkpoint, checkpoints, and averages."""
    return [
        *_folders(incomplete, ("*",), _has_checkpoints),
        *_folders(incomplete, _MODELS_BELOW, _is_model),
    ]


def complete_checkpoint(incomplete: str) -> Candidates:
    """Checkpoints that a training wrote."""
    return [*_folders(incomplete, _MODELS_BELOW, _is_checkpoint)]


@contextmanager
def adapted_to_shell() -> Iterator[None]:
    """Mend what Typer is asked by a shell, and what it answers; else do nothing.

    Bash hands over `--set train.optimizer=a` as four words, because it cuts at `=` and
    `:`, and replaces only the last one. So Typer gets three words, and bash gets the
    candidates without what stands before the last cut.
    """
    shell = os.environ.get(_VARIABLE, "")
    if shell:
        # Typer folds the texts beside candidates, and a shell reads line by line.
        os.environ["COLUMNS"] = _NEVER_FOLD
    if shell != _BASH:
        yield
        return
    words = os.environ.get("COMP_WORDS", "").split("\n")
    position = int(os.environ.get("COMP_CWORD", "0"))
    joined, kept = join_words(words[: position + 1])
    os.environ["COMP_WORDS"] = "\n".join(joined)
    os.environ["COMP_CWORD"] = str(len(joined) - 1)
    answer = io.StringIO()
    try:
        with redirect_stdout(answer):
            yield
    finally:
        # After `--option=` Typer names the values alone.
        prefixes = kept, kept.partition("=")[2]
        for line in answer.getvalue().splitlines():
            prefix = next((p for p in prefixes if line.startswith(p)), "")
            sys.stdout.write(line.removeprefix(prefix) + "\n")


def join_words(words: Sequence[str]) -> tuple[list[str], str]:
    """Undo bash's cuts at `=` and `:`.

    Args:
        words: Up to the one that is completed; each run of `=` and `:` is a word.

    Returns:
        The words as they were typed, and what of the last one bash keeps.
    """
    joined: list[str] = []
    kept, is_open = "", False
    for word in words:
        is_cut = bool(word) and not word.strip("=:")
        if joined and (is_cut or (is_open and word)):
            kept = joined[-1] + (word if is_cut else "")
            joined[-1] += word
        else:
            kept = ""
            joined.append(word)
        is_open = is_cut
    return joined, kept


def _sections() -> dict[str, str]:
    """Sections, and settings outside any: name -> meaning."""
    found: dict[str, str] = {}
    for name, field in Config.model_fields.items():
        text = field.description or getattr(field.annotation, "__doc__", None) or ""
        found[name] = _escaped(" ".join(text.split()))
    return found


def _meanings() -> dict[str, str]:
    """Every `section.key` -> meaning."""
    return {key: _escaped(field_of(key).meaning) for key in known_keys()}


def _escaped(text: str) -> str:
    """The text without markup, as which Typer reads brackets."""
    return text.replace("[", r"\[")


def _settings(ctx: typer.Context) -> Config:
    """The settings of the project that the command line names, else the defaults."""
    try:
        return load(ctx.params.get("folder") or Path(), environ=os.environ).config
    except (S2SError, OSError):
        return Config()


def _values(key: str, config: Config) -> list[str]:
    """Words that a setting accepts, and its present value."""
    if key not in known_keys():
        return []
    section, _, name = key.rpartition(".")
    field = field_of(key)
    words = [*field.words]
    if isinstance(field.default, bool):
        words = ["true", "false"]
    elif key == "recipe":
        words = recipe_names()
    present = getattr(getattr(config, section) if section else config, name)
    if isinstance(present, str | int | float) and not isinstance(present, bool):
        words.append(str(present))
    return list(dict.fromkeys(words))


def _folders(
    incomplete: str, patterns: Sequence[str], is_wanted: Callable[[Path], bool]
) -> Iterator[str]:
    """Folders below the one that `incomplete` names, spelled as it begins."""
    above, slash, _ = incomplete.rpartition("/")
    root = Path(above + slash).expanduser()
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            name = above + slash + str(path.relative_to(root))
            # Typer's script for bash hands over names as they are, without quotes.
            if not any(map(str.isspace, name)) and is_wanted(path):
                yield name


def _kind(folder: Path) -> str:
    """Who wrote a folder, as its manifest says."""
    try:
        return read_manifest(folder).stage
    except (S2SError, OSError):
        return ""


def _is_checkpoint(folder: Path) -> bool:
    return _kind(folder) == CHECKPOINT


def _is_model(folder: Path) -> bool:
    return _kind(folder) not in ("", *STAGES)


def _has_checkpoints(folder: Path) -> bool:
    return any(map(_is_checkpoint, folder.glob("train/checkpoints/*")))
