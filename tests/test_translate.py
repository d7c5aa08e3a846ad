"""Translation called from Python: the stage, files that are resumed, a text."""

import gzip
import logging
import shutil

import pytest

from pipelines import binarize, preprocess, translate
from pipelines.artifacts.corpus import read_lines
from pipelines.artifacts.layout import part_files
from pipelines.artifacts.manifest import damaged_files, read_manifest
from pipelines.artifacts.nbest import read_nbest
from pipelines.artifacts.source_text import SourceText
from pipelines.artifacts.translations import Output, Translation
from pipelines.config import TranslateConfig
from pipelines.errors import ArtifactError, BusyError
from pipelines.search.loading import load_ensemble
from pipelines.search.translator import Translator
from pipelines.text import TextPipeline
from pipelines.tools.score_pairs import PairScore, score_pairs
from pipelines.translate import translate_files, translate_text
from tests.search.tiny import write_model
from tests.small_corpus import (
    make_pipe,
    make_project,
    text_lines,
    write_lines,
    write_pairs,
)

NO_PAIRS = PairScore(num_pairs=0)


class UpperCase:
    """Translates a line into capitals, and may be interrupted at a chunk."""

    chunk_size, identity = 2, "upper case"

    def __init__(self, *, stop_at=None, identity=identity, **settings):
        self.identity = identity
        self.config = TranslateConfig(**settings)
        self.stop_at = stop_at
        self.chunks = []

    def translate(self, lines):
        if len(self.chunks) == self.stop_at:
            raise KeyboardInterrupt
        self.chunks.append(lines)
        return [
            Translation((Output(text, tuple(text.split()), -1.0, -1.0, ()),))
            if text
            else Translation(())
            for text in map(str.upper, lines)
        ]


class RecordingProgress:
    """Records the totals of tasks and the steps of their advance."""

    def __init__(self):
        self.totals, self.done = [], 0

    def task(self, description, *, total=None, unit="lines"):
        self.totals.append(total)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def advance(self, amount=1, **figures):
        self.done += amount


@pytest.fixture
def source(tmp_path):
    """Seven lines in two files."""
    write_lines(tmp_path / "one", ["a b", "", "c"])
    (tmp_path / "two.gz").write_bytes(gzip.compress(b"d\ne f\n\ng\n"))
    return SourceText((tmp_path / "one", tmp_path / "two.gz"))


UPPER = ["A B", "", "C", "D", "E F", "", "G"]


def text_of(path):
    return [line.decode() for line in read_lines(path)]


def test_a_text_is_translated_chunk_by_chunk(source):
    chunks = list(translate_text(source, UpperCase()))
    assert [number for number, _ in chunks] == [2, 4, 6, 7]
    assert "".join(text for _, text in chunks) == "".join(f"{x}\n" for x in UPPER)


def test_lines_are_translated_as_they_arrive(tmp_path):
    source = SourceText((make_pipe(tmp_path / "pipe", b"a\nb c\n"),))
    chunks = list(translate_text(source, UpperCase()))
    assert (chunks[-1][0], "".join(text for _, text in chunks)) == (2, "A\nB C\n")


@pytest.mark.parametrize(
    ("format_name", "last"),
    [
        ("text", "G\n"),
        ("nbest", "6 ||| G ||| LSTM= -1.0 ||| -1.0\n"),
    ],
)
def test_skipped_lines_keep_their_numbers(source, format_name, last):
    translator = UpperCase()
    chunks = list(translate_text(source, translator, format_name, skip=3))
    assert [number for number, _ in chunks] == [5, 7]
    assert chunks[-1][1].endswith(last)
    assert translator.chunks == [["d", "e f"], ["", "g"]]


def test_warnings_name_the_lines_of_the_whole_text(tmp_path, caplog):
    (tmp_path / "bad").write_bytes(b"a\nb\nc\n\xff\n")
    source = SourceText((tmp_path / "bad",))
    list(translate_text(source, UpperCase(), skip=2))
    assert "not UTF-8" in caplog.text
    assert "line 4" in caplog.text


@pytest.mark.parametrize(("skip", "total"), [(0, 7), (3, 7), (0, None), (3, None)])
def test_progress_counts_the_lines_that_are_not_skipped(source, skip, total):
    progress = RecordingProgress()
    list(translate_text(source, UpperCase(), skip=skip, total=total, progress=progress))
    assert progress.totals == [None if total is None else total - skip]
    assert progress.done == 7 - skip


@pytest.mark.parametrize("name", ["out", "out.gz", "out.zst"])
@pytest.mark.parametrize("format_name", ["text", "nbest", "json"])
@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_an_interrupted_task_resumes_to_the_same_text(
    tmp_path, source, caplog, name, format_name, stop_at
):
    caplog.set_level(logging.INFO)
    whole, output = tmp_path / "whole", tmp_path / name
    translate_files(source, UpperCase(), whole, format_name)
    with pytest.raises(KeyboardInterrupt):
        translate_files(source, UpperCase(stop_at=stop_at), output, format_name)
    assert not output.exists()
    translator = UpperCase()
    translate_files(source, translator, output, format_name)
    assert text_of(output) == text_of(whole)
    assert len(translator.chunks) == 4 - stop_at
    assert f"after {2 * stop_at} lines" in caplog.text
    assert not any(part.exists() for part in part_files(output))


def test_a_plain_output_has_the_same_bytes_after_an_interruption(tmp_path, source):
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        translate_files(source, UpperCase(stop_at=2), output)
    translate_files(source, UpperCase(), output)
    assert output.read_text() == "".join(f"{line}\n" for line in UPPER)


@pytest.mark.parametrize("change", ["model", "setting", "source", "format"])
def test_another_task_starts_again(tmp_path, source, caplog, change):
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        translate_files(source, UpperCase(stop_at=2), output)
    if change == "source":
        write_lines(tmp_path / "one", ["x", "", "c"])
    other = {
        "model": UpperCase(identity="another model"),
        "setting": UpperCase(beam=3),
    }.get(change, UpperCase())
    translate_files(source, other, output, "json" if change == "format" else "text")
    assert len(other.chunks) == 4
    assert "other models, settings or input" in caplog.text


def test_settings_that_cannot_change_a_result_do_not_change_the_task(tmp_path, source):
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        translate_files(source, UpperCase(stop_at=2, threads=1), output)
    other = UpperCase(threads=2, batch_size=3)
    translate_files(source, other, output)
    assert len(other.chunks) == 2


def test_an_output_that_is_being_written_is_refused(tmp_path, source):
    class WritesTwice(UpperCase):
        def translate(self, lines):
            with pytest.raises(BusyError, match="another process is writing"):
                translate_files(source, UpperCase(), tmp_path / "out")
            return super().translate(lines)

    translate_files(source, WritesTwice(), tmp_path / "out")
    assert text_of(tmp_path / "out") == UPPER


@pytest.fixture
def project(tmp_path):
    """A binarized project with an untrained model; its second test line is blank."""
    write_pairs(tmp_path, "test", [("The cat sleeps.", "Le chat."), ("", "x")])
    config, layout = make_project(tmp_path, tokenizer="none", min_count=1)
    config = config.model_copy(update={"translate": TranslateConfig(beam=3, nbest=2)})
    preprocess.run(config, layout)
    binarize.run(config, layout)
    pipeline = TextPipeline.load(layout.preprocess / "text")
    return config, layout, write_model(layout.train, 1, pipeline)


def test_the_stage_writes_its_translations_in_three_formats(project):
    config, layout, checkpoint = project
    progress = RecordingProgress()
    manifest = translate.run(config, layout, progress=progress)
    assert manifest == read_manifest(layout.translate)
    assert damaged_files(layout.translate) == []
    assert set(manifest.outputs) == {"output.txt", "tokens.txt", "nbest.txt"}
    translator = Translator(
        load_ensemble([checkpoint], config.translate), config.translate
    )
    best, blank = translator.translate(["The cat sleeps.", ""])
    assert text_lines(layout.translate / "output.txt") == [best.text, ""]
    assert text_lines(layout.translate / "tokens.txt") == [" ".join(best.tokens), ""]
    ((number, entries),) = read_nbest(layout.translate / "nbest.txt")
    assert number == 0
    assert [e.tokens for e in entries] == [output.tokens for output in best.outputs]
    assert blank.outputs == ()
    assert (progress.totals, progress.done) == ([2], 2)


def test_the_stage_counts_lines_and_measures_the_references(project):
    config, layout, checkpoint = project
    counts = translate.run(config, layout).counts
    assert (counts["lines"], counts["blank"], counts["truncated"]) == (2, 1, 0)
    assert counts["checkpoint"] == checkpoint.name
    loaded = load_ensemble([checkpoint], config.translate)
    source, target = (layout.root / f"test.{side}" for side in ("en", "fr"))
    total = sum(score_pairs(source, target, loaded, config.translate), NO_PAIRS)
    assert counts["perplexity"] == pytest.approx(total.perplexity)


def test_the_stage_without_a_model_is_an_error(project):
    config, layout, checkpoint = project
    shutil.rmtree(checkpoint)
    with pytest.raises(ArtifactError):
        translate.run(config, layout)
    assert not layout.translate.exists()


def test_a_source_that_was_shortened_is_counted(project):
    config, layout, _ = project
    short = config.translate.model_copy(update={"max_source_length": 2})
    config = config.model_copy(update={"translate": short})
    assert translate.run(config, layout).counts["truncated"] == 1
