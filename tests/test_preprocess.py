import gzip
import logging
import multiprocessing
from contextlib import contextmanager

import pytest
import zstandard

from pipelines import preprocess
from pipelines.artifacts.manifest import damaged_files, read_manifest
from pipelines.config.schema import Config, DataConfig
from pipelines.errors import ConfigError, CorpusError
from pipelines.text import TextPipeline
from tests.small_corpus import (
    PAIRS,
    file_bytes,
    make_project,
    write_lines,
    write_pairs,
)


def lines_of(path):
    return path.read_bytes().decode().split("\n")[:-1]


def ledger(layout):
    return lines_of(layout.preprocess / "dropped.tsv")


class Interrupting:
    """A progress that presses Ctrl-C when the first part is done."""

    @contextmanager
    def task(self, description, *, total=None, unit="lines"):
        yield self if description == "tokenize" else Counting()

    def advance(self, amount=1, **figures):
        raise KeyboardInterrupt


class Counting:
    """A progress that adds up."""

    def __init__(self):
        self.done = {}
        self.totals = {}

    @contextmanager
    def task(self, description, *, total=None, unit="lines"):
        self._name = description
        self.totals[description] = total
        self.done[description] = 0
        yield self

    def advance(self, amount=1, **figures):
        if hasattr(self, "_name"):
            self.done[self._name] += amount


# What is written


def test_files_hold_reversed_sources_targets_and_eos(tmp_path):
    config, layout = make_project(tmp_path)
    preprocess.run(config, layout)
    assert lines_of(layout.preprocess / "valid.00000.src")[:2] == [
        ". sleeps cat The </s>",
        "! fast , runs dog A </s>",
    ]
    assert lines_of(layout.preprocess / "valid.00000.tgt")[:2] == [
        "Le chat dort . </s>",
        "Un chien court , vite ! </s>",
    ]


def test_source_order_is_kept_when_reversal_is_off(tmp_path):
    config, layout = make_project(tmp_path, reverse_source=False)
    preprocess.run(config, layout)
    src = lines_of(layout.preprocess / "valid.00000.src")
    assert src[0] == "The cat sleeps . </s>"


def test_the_manifest_counts_everything(tmp_path):
    config, layout = make_project(tmp_path, part_size=5)
    manifest = preprocess.run(config, layout)
    assert manifest == read_manifest(layout.preprocess)
    assert damaged_files(layout.preprocess) == []
    assert manifest.counts["train"] == {
        "parts": 3,
        "read": 12,
        "kept": 12,
        "dropped": {"blank": 0, "too_long": 0, "ratio": 0},
        "source_tokens": 57,
        "target_tokens": 60,
        "control_characters": 0,
        "literal_specials": 0,
        "unknown_source_share": 0.0,
        "unknown_target_share": 0.0,
    }
    assert manifest.counts["test"]["kept"] == 4
    names = {"dropped.tsv", "text/pipeline.json", "train.00002.src", "test.00000.tgt"}
    assert names <= set(manifest.outputs)


def test_the_pipeline_has_the_vocabulary_of_the_training_text_alone(tmp_path):
    write_pairs(tmp_path, "valid", [("unseen", "inconnu")])
    config, layout = make_project(tmp_path, min_count=3)
    manifest = preprocess.run(config, layout)
    pipeline = TextPipeline.load(layout.preprocess / "text")
    assert pipeline.source_vocab.tokens[:4] == ("<pad>", "<unk>", "</s>", ".")
    assert "unseen" not in pipeline.source_vocab.tokens
    assert pipeline.target_vocab.counts[2] == 12
    assert manifest.counts["source_vocab_size"] == len(pipeline.source_vocab)


def test_the_share_of_unknown_tokens_is_reported(tmp_path):
    write_pairs(tmp_path, "train", [("a a a b", "x x <unk>")])
    config, layout = make_project(tmp_path, tokenizer="none", source_vocab_size=4)
    counts = preprocess.run(config, layout).counts["train"]
    assert counts["unknown_source_share"] == 0.25
    assert counts["unknown_target_share"] == pytest.approx(1 / 3, abs=1e-6)
    assert counts["literal_specials"] == 1


def test_progress_reaches_its_totals(tmp_path):
    config, layout = make_project(tmp_path, part_size=3)
    progress = Counting()
    preprocess.run(config, layout, progress=progress)
    assert progress.done == progress.totals == {"survey": 3, "tokenize": 20}


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", ["moses", "sentencepiece", "characters", "none"])
def test_two_processes_write_the_same_bytes_as_one(tmp_path, tokenizer):
    found = []
    for workers in (1, 2):
        config, layout = make_project(
            tmp_path, workers=workers, part_size=4, tokenizer=tokenizer
        )
        preprocess.run(config, layout)
        found.append(file_bytes(layout.preprocess))
    assert found[0] == found[1]


@pytest.mark.parametrize("part_size", [1, 2, 5, 100])
def test_the_part_size_does_not_change_the_tokens(tmp_path, part_size):
    config, layout = make_project(tmp_path, part_size=part_size)
    preprocess.run(config, layout)
    parts = sorted(layout.preprocess.glob("train.*.src"))
    assert len(parts) == -(-12 // part_size)
    together = [line for part in parts for line in lines_of(part)]
    pipeline = TextPipeline.load(layout.preprocess / "text")
    wanted = [" ".join(pipeline.source_tokens(en)) for en, _ in PAIRS * 3]
    assert together == wanted


# What comes in


def compress_gz(data):
    return gzip.compress(data)


def compress_zst(data):
    return zstandard.compress(data)


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", compress_gz), (".zst", compress_zst)]
)
def test_compressed_text_gives_the_same_tokens(tmp_path, suffix, compress):
    config, layout = make_project(tmp_path)
    preprocess.run(config, layout)
    plain = lines_of(layout.preprocess / "train.00000.src")
    for side in ("en", "fr"):
        path = tmp_path / f"train.{side}"
        (tmp_path / f"train.{side}{suffix}").write_bytes(compress(path.read_bytes()))
    train = (f"train.en{suffix}", f"train.fr{suffix}")
    data = config.data.model_copy(update={"train": train})
    preprocess.run(config.model_copy(update={"data": data}), layout)
    assert lines_of(layout.preprocess / "train.00000.src") == plain


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
def test_odd_characters_never_move_a_line(tmp_path, raw):
    (tmp_path / "train.en").write_bytes(raw)
    write_lines(tmp_path / "train.fr", ["x", "y"])
    config, layout = make_project(tmp_path, tokenizer="none")
    preprocess.run(config, layout)
    assert lines_of(layout.preprocess / "train.00000.src") == ["b a </s>", "d c </s>"]


def test_control_characters_are_counted_and_shown(tmp_path, caplog):
    write_pairs(tmp_path, "train", [("a", "x"), ("b\x00\u0085b", "y")])
    config, layout = make_project(tmp_path)
    with caplog.at_level(logging.WARNING):
        counts = preprocess.run(config, layout).counts
    assert counts["train"]["control_characters"] == 2
    assert "2 control characters became blanks" in caplog.text
    assert f"{tmp_path / 'train.en'}:2" in caplog.text


def test_a_first_token_that_looks_like_a_bom_stays_in_the_part(tmp_path):
    write_pairs(tmp_path, "train", [("a", "x"), ("b \ufeff", "y")])
    config, layout = make_project(tmp_path, tokenizer="characters", part_size=1)
    preprocess.run(config, layout)
    assert lines_of(layout.preprocess / "train.00001.src") == ["\ufeff ▁ b </s>"]


@pytest.mark.slow
def test_a_line_of_100_000_words_goes_through(tmp_path):
    write_pairs(tmp_path, "train", [("it's so, " * 50_000, "mot " * 100_000)])
    config, layout = make_project(tmp_path)
    counts = preprocess.run(config, layout).counts["train"]
    assert counts["target_tokens"] == 100_000


# Dropped pairs


def test_every_dropped_pair_is_in_the_ledger(tmp_path):
    train = [
        ("a b", "x y"),
        ("", "x"),
        ("a", " \t"),
        ("a b c d e", "x y z"),
        ("a", "x y z"),
        ("a b", "x"),
    ]
    write_pairs(tmp_path, "train", train)
    write_pairs(tmp_path, "valid", [("a", "x"), ("", "")])
    config, layout = make_project(
        tmp_path, tokenizer="none", part_size=2, max_length=4, max_ratio=2.0
    )
    counts = preprocess.run(config, layout).counts
    assert ledger(layout) == [
        "split\tpart\tline\treason",
        "train\t00000\t2\tblank",
        "train\t00001\t3\tblank",
        "train\t00001\t4\ttoo_long",
        "train\t00002\t5\tratio",
        "valid\t00000\t2\tblank",
    ]
    assert counts["train"]["dropped"] == {"blank": 2, "too_long": 1, "ratio": 1}
    for split in ("train", "valid", "test"):
        dropped = sum(counts[split]["dropped"].values())
        assert counts[split]["kept"] + dropped == counts[split]["read"]
    assert lines_of(layout.preprocess / "train.00001.src") == []


def test_the_test_split_keeps_every_line(tmp_path):
    write_pairs(tmp_path, "test", [("", ""), ("a " * 50, "x"), ("a", "")])
    config, layout = make_project(tmp_path, max_length=5, max_ratio=2.0)
    counts = preprocess.run(config, layout).counts
    assert counts["test"]["kept"] == 3
    src = lines_of(layout.preprocess / "test.00000.src")
    assert (src[0], src[2]) == ("</s>", "a </s>")


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_without_a_usable_pair_is_refused(tmp_path, split):
    write_pairs(tmp_path, split, [("", "x"), ("a", "")])
    config, layout = make_project(tmp_path)
    with pytest.raises(CorpusError, match=rf"{split}: no pair .* \(2 blank\)"):
        preprocess.run(config, layout)
    assert not list(tmp_path.glob("preprocess*"))


# Refusals


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (DataConfig(), "train"),
        (DataConfig(train=("train.en", "train.fr")), "valid"),
    ],
)
def test_training_and_validation_text_are_needed(tmp_path, data, missing):
    _, layout = make_project(tmp_path)
    with pytest.raises(ConfigError, match=rf"data\.{missing} is not set") as caught:
        preprocess.run(Config(data=data), layout)
    expected = f'set {missing} = ["SRC", "TGT"] in [data] of {layout.settings}'
    assert caught.value.hint == expected


def test_the_test_split_may_be_left_out(tmp_path):
    config, layout = make_project(tmp_path)
    data = config.data.model_copy(update={"test": ()})
    manifest = preprocess.run(config.model_copy(update={"data": data}), layout)
    assert "test" not in manifest.counts


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


def test_a_text_that_changes_meanwhile_is_noticed(tmp_path, monkeypatch):
    config, layout = make_project(tmp_path)
    write_vocabularies = TextPipeline.save

    def save_and_touch(self, folder):
        write_vocabularies(self, folder)
        write_lines(tmp_path / "train.en", ["other"] * 12)

    monkeypatch.setattr(TextPipeline, "save", save_and_touch)
    with pytest.raises(CorpusError, match=r"train\.en changed while it was read"):
        preprocess.run(config, layout)
    assert not layout.preprocess.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_leaves_nothing_and_nobody(tmp_path, workers):
    config, layout = make_project(tmp_path, workers=workers, part_size=1)
    with pytest.raises(KeyboardInterrupt):
        preprocess.run(config, layout, progress=Interrupting())
    assert not list(tmp_path.glob("preprocess*"))
    assert not multiprocessing.active_children()


def test_an_interrupted_run_leaves_the_one_before_it(tmp_path):
    config, layout = make_project(tmp_path)
    preprocess.run(config, layout)
    before = file_bytes(layout.preprocess)
    with pytest.raises(KeyboardInterrupt):
        preprocess.run(config, layout, progress=Interrupting())
    assert file_bytes(layout.preprocess) == before


# SentencePiece


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_separate_sentencepiece_models(tmp_path, kind):
    config, layout = make_project(
        tmp_path, tokenizer="sentencepiece", sentencepiece_model=kind
    )
    preprocess.run(config, layout)
    text = layout.preprocess / "text"
    assert (text / "source.spm").read_bytes() != (text / "target.spm").read_bytes()
    pipeline = TextPipeline.load(text)
    tokens = lines_of(layout.preprocess / "valid.00000.tgt")[0].split(" ")
    assert tokens == pipeline.target_tokens("Le chat dort.")
    assert pipeline.target_text(tokens) == "Le chat dort."


def test_a_joint_sentencepiece_model_serves_both_sides(tmp_path):
    write_pairs(tmp_path, "train", [*PAIRS, ("", "vide"), ("blank", " ")])
    config, layout = make_project(
        tmp_path, tokenizer="sentencepiece", sentencepiece_joint=True, lowercase=True
    )
    preprocess.run(config, layout)
    text = layout.preprocess / "text"
    assert (text / "source.spm").read_bytes() == (text / "target.spm").read_bytes()
    pipeline = TextPipeline.load(text)
    assert pipeline.source_tokens("chat")[-2] == "▁chat"


def test_sentencepiece_learns_from_a_sample(tmp_path):
    models = []
    for seed in (1, 2):
        config, layout = make_project(
            tmp_path,
            tokenizer="sentencepiece",
            sentencepiece_sample_size=2,
            seed=seed,
        )
        preprocess.run(config, layout)
        models.append((layout.preprocess / "text" / "source.spm").read_bytes())
    assert models[0] != models[1]


def test_sentencepiece_smaller_than_the_alphabet_is_refused(tmp_path):
    config, layout = make_project(
        tmp_path, tokenizer="sentencepiece", sentencepiece_vocab_size=5
    )
    with pytest.raises(ConfigError, match="different characters"):
        preprocess.run(config, layout)
