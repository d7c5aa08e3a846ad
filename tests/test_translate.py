"""Translation of texts and files, called as from Python."""

from dataclasses import replace

import pytest

from pipelines.artifacts.layout import part_files
from pipelines.artifacts.source_text import SourceText
from pipelines.config import TranslateConfig
from pipelines.search.translator import Translator
from pipelines.translate import translate_files, translate_text
from tests.search.tiny import make_members

LINES = ["a b", "", "c d e", "b", "e e a", "d"]


class SmallChunks(Translator):
    """Translates two lines at a time, and fails after some chunks."""

    chunk_size = 2

    def __init__(self, *, seed=1, fails_after=99):
        loaded = replace(make_members(seed), identity=f"model {seed}")
        super().__init__(loaded, TranslateConfig(beam=2, nbest=2))
        self.num_left = fails_after
        self.lines = []

    def translate(self, lines):
        if not self.num_left:
            raise KeyboardInterrupt
        self.num_left -= 1
        self.lines += lines
        return super().translate(lines)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "in").write_text("".join(f"{line}\n" for line in LINES))
    return SourceText((tmp_path / "in",))


def test_a_text_is_formatted_chunk_by_chunk(source):
    texts = list(translate_text(source, SmallChunks()))
    assert [number for number, _ in texts] == [2, 4, 6]
    lines = "".join(text for _, text in texts).split("\n")
    outputs = Translator(make_members(1), TranslateConfig(beam=2, nbest=2))
    assert lines == [*(t.text for t in outputs.translate(LINES)), ""]


@pytest.mark.parametrize("name", ["text", "nbest", "json"])
def test_lines_keep_their_numbers_when_some_are_skipped(source, name):
    whole = "".join(text for _, text in translate_text(source, SmallChunks(), name))
    rest = list(translate_text(source, SmallChunks(), name, skip=2))
    assert [number for number, _ in rest] == [4, 6]
    assert whole.endswith("".join(text for _, text in rest))


@pytest.mark.parametrize("name", ["out", "out.gz"])
def test_an_interrupted_translation_of_files_resumes(source, tmp_path, name):
    whole, output = tmp_path / f"whole{name}", tmp_path / name
    translate_files(source, SmallChunks(), whole, "nbest")
    with pytest.raises(KeyboardInterrupt):
        translate_files(source, SmallChunks(fails_after=2), output, "nbest")
    assert not output.exists()
    resumed = SmallChunks()
    translate_files(source, resumed, output, "nbest")
    assert resumed.lines == LINES[4:]
    assert output.read_bytes() == whole.read_bytes()
    assert not any(path.exists() for path in part_files(output))


@pytest.mark.parametrize("change", ["model", "format", "text"])
def test_another_task_starts_from_the_first_line(source, tmp_path, change):
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        translate_files(source, SmallChunks(fails_after=2), output)
    if change == "text":
        source.paths[0].write_text("".join(f"{line}\n" for line in LINES[::-1]))
    other = SmallChunks(seed=2 if change == "model" else 1)
    translate_files(source, other, output, "json" if change == "format" else "text")
    assert len(other.lines) == len(LINES)
