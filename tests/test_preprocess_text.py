"""The raw text that preprocessing accepts, refuses and reads."""

import gzip
import logging
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from pipelines import preprocess
from pipelines.errors import CorpusError
from pipelines.project.status import stage_status
from tests.small_corpus import (
    AfterTask,
    make_project,
    text_lines,
    write_lines,
    write_pairs,
)


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".zst", zstandard.compress)]
)
def test_compressed_text_gives_the_same_tokens(tmp_path, suffix, compress):
    config, layout = make_project(tmp_path)
    preprocess.run(config, layout)
    plain = text_lines(layout.preprocess / "train.00000.src")
    for side in ("en", "fr"):
        path = tmp_path / f"train.{side}"
        (tmp_path / f"train.{side}{suffix}").write_bytes(compress(path.read_bytes()))
    train = (f"train.en{suffix}", f"train.fr{suffix}")
    data = config.data.model_copy(update={"train": train})
    preprocess.run(config.model_copy(update={"data": data}), layout)
    assert text_lines(layout.preprocess / "train.00000.src") == plain


@pytest.mark.parametrize(
    "raw",
    [
        b"a b\r\nc d\r\n",
        b"\xef\xbb\xbfa b\nc d\n",
        b"a b\nc d",
        b"a\xe2\x80\xa8b\nc\xc2\x85d\n",
        b"a\x00b\nc\rd\n",
        b"a\x0bb\nc\x0cd\n",
    ],
    ids=["CRLF", "BOM", "no final LF", "U+2028 and U+0085", "NUL and CR", "VT and FF"],
)
def test_only_line_feeds_end_a_line(tmp_path, raw):
    (tmp_path / "train.en").write_bytes(raw)
    write_lines(tmp_path / "train.fr", ["x", "y"])
    config, layout = make_project(tmp_path, tokenizer="none")
    preprocess.run(config, layout)
    assert text_lines(layout.preprocess / "train.00000.src") == ["b a </s>", "d c </s>"]


def test_control_characters_are_counted_and_warned_about(tmp_path, caplog):
    write_pairs(tmp_path, "train", [("a", "x"), ("b\x00\u0085b", "y")])
    config, layout = make_project(tmp_path)
    with caplog.at_level(logging.WARNING):
        counts = preprocess.run(config, layout).counts
    assert counts["train"]["control_characters"] == 2
    assert "2 control characters became spaces" in caplog.text
    assert f"{tmp_path / 'train.en'}:2" in caplog.text


def test_a_first_token_that_looks_like_a_bom_stays_in_the_part(tmp_path):
    write_pairs(tmp_path, "train", [("a", "x"), ("b \ufeff", "y")])
    config, layout = make_project(tmp_path, tokenizer="characters", part_size=1)
    preprocess.run(config, layout)
    assert text_lines(layout.preprocess / "train.00001.src") == ["\ufeff ▁ b </s>"]


@pytest.mark.slow
def test_a_line_of_100_000_words_is_tokenized(tmp_path):
    write_pairs(tmp_path, "train", [("it's so, " * 50_000, "mot " * 100_000)])
    config, layout = make_project(tmp_path)
    counts = preprocess.run(config, layout).counts["train"]
    assert counts["target_tokens"] == 100_000


def test_unequal_counts_are_both_named(tmp_path):
    config, layout = make_project(tmp_path)
    write_lines(tmp_path / "test.fr", ["x"])
    with pytest.raises(CorpusError, match=r"test\.en has 4 lines, .*test\.fr has 1"):
        preprocess.run(config, layout)
    assert not list(tmp_path.glob("preprocess*"))


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    config, layout = make_project(tmp_path)
    (tmp_path / "valid.fr").write_bytes(b"a\nb\ncaf\xe9\nd\n")
    with pytest.raises(CorpusError, match=r"valid\.fr:3: not UTF-8 at byte 4"):
        preprocess.run(config, layout)


def test_a_missing_file_is_named(tmp_path):
    config, layout = make_project(tmp_path)
    (tmp_path / "train.fr").unlink()
    with pytest.raises(CorpusError, match=r"train\.fr not found"):
        preprocess.run(config, layout)


@pytest.mark.parametrize("task", ["survey", "tokenize"])
@pytest.mark.parametrize("num_lines", [12, 11, 13], ids=["equal", "fewer", "more"])
def test_a_text_that_changes_after_a_task_is_refused(tmp_path, task, num_lines):
    config, layout = make_project(tmp_path, part_size=5)
    change = AfterTask(
        task, lambda: write_lines(tmp_path / "train.en", ["other"] * num_lines)
    )
    with pytest.raises(CorpusError, match=r"train\.en changed while it was read"):
        preprocess.run(config, layout, progress=change)
    assert not layout.preprocess.exists()


def test_a_text_that_changes_and_changes_back_is_refused(tmp_path):
    """The tokens would be those of a text that the manifest does not name."""
    config, layout = make_project(tmp_path)
    path = tmp_path / "train.fr"
    original = path.read_bytes()
    replaced = AfterTask("survey", lambda: path.write_bytes(b"autre\n" * 12))
    restored = AfterTask("tokenize", lambda: path.write_bytes(original))

    class Both:
        def task(self, description, **options):
            stage = replaced if description == "survey" else restored
            return stage.task(description, **options)

    with pytest.raises(CorpusError, match=r"train\.fr changed while it was read"):
        preprocess.run(config, layout, progress=Both())


@pytest.mark.parametrize(
    ("tokenizer", "num_train_reads"),
    [("none", 2), ("moses", 2), ("sentencepiece", 3), ("characters", 3)],
)
def test_each_text_is_opened_for_its_survey_and_for_its_tokens(
    tmp_path, monkeypatch, tokenizer, num_train_reads
):
    """Training text is also opened to sample it, or to check that it is untokenized."""
    config, layout = make_project(tmp_path, tokenizer=tokenizer)
    opened: Counter[str] = Counter()
    path_open = Path.open

    def counting_open(path, *args, **options):
        opened[path.name] += 1
        return path_open(path, *args, **options)

    monkeypatch.setattr(Path, "open", counting_open)
    preprocess.run(config, layout)
    for side in ("en", "fr"):
        assert opened[f"train.{side}"] == num_train_reads
        assert opened[f"valid.{side}"] == opened[f"test.{side}"] == 2
    stage_status("preprocess", config, layout)
    assert opened["valid.en"] == 2  # its hash is cached
