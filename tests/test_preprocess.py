"""The files that preprocessing writes, its manifest, and how it ends."""

import logging
import multiprocessing
from contextlib import contextmanager

import pytest

from pipelines import binarize, preprocess
from pipelines.artifacts.manifest import damaged_files, read_manifest
from pipelines.config.schema import Config, DataConfig
from pipelines.errors import ConfigError
from pipelines.text import TextPipeline
from tests.small_corpus import (
    PAIRS,
    file_bytes,
    make_project,
    text_lines,
    write_pairs,
)


class Interrupting:
    """A progress that raises KeyboardInterrupt after the first part."""

    @contextmanager
    def task(self, description, *, total=None, unit="lines"):
        yield self if description == "tokenize" else Counting()

    def advance(self, amount=1, **figures):
        raise KeyboardInterrupt


class Counting:
    """A progress that sums the units done."""

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


def test_files_hold_reversed_sources_targets_and_eos(tmp_path):
    config, layout = make_project(tmp_path)
    preprocess.run(config, layout)
    assert text_lines(layout.preprocess / "valid.00000.src")[:2] == [
        ". sleeps cat The </s>",
        "! fast , runs dog A </s>",
    ]
    assert text_lines(layout.preprocess / "valid.00000.tgt")[:2] == [
        "Le chat dort . </s>",
        "Un chien court , vite ! </s>",
    ]


def test_source_order_is_kept_when_reversal_is_off(tmp_path):
    config, layout = make_project(tmp_path, reverse_source=False)
    preprocess.run(config, layout)
    src = text_lines(layout.preprocess / "valid.00000.src")
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
    written = []
    for workers in (1, 2):
        config, layout = make_project(
            tmp_path, workers=workers, part_size=4, tokenizer=tokenizer
        )
        preprocess.run(config, layout)
        written.append(file_bytes(layout.preprocess))
    assert written[0] == written[1]


@pytest.mark.parametrize("part_size", [1, 2, 5, 100])
def test_the_part_size_does_not_change_the_tokens(tmp_path, part_size):
    config, layout = make_project(tmp_path, part_size=part_size)
    preprocess.run(config, layout)
    parts = sorted(layout.preprocess.glob("train.*.src"))
    assert len(parts) == -(-12 // part_size)
    together = [line for part in parts for line in text_lines(part)]
    pipeline = TextPipeline.load(layout.preprocess / "text")
    expected = [" ".join(pipeline.tokenize_source(en).tokens) for en, _ in PAIRS * 3]
    assert together == expected


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


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_leaves_no_files_and_no_processes(tmp_path, workers):
    config, layout = make_project(tmp_path, workers=workers, part_size=1)
    with pytest.raises(KeyboardInterrupt):
        preprocess.run(config, layout, progress=Interrupting())
    assert not list(tmp_path.glob("preprocess*"))
    assert not multiprocessing.active_children()


def test_an_interrupted_run_keeps_the_previous_result(tmp_path):
    config, layout = make_project(tmp_path)
    preprocess.run(config, layout)
    before = file_bytes(layout.preprocess)
    with pytest.raises(KeyboardInterrupt):
        preprocess.run(config, layout, progress=Interrupting())
    assert file_bytes(layout.preprocess) == before


def test_a_single_pair_is_logged_in_the_singular(tmp_path, caplog):
    write_pairs(tmp_path, "train", [("a", "x")])
    with caplog.at_level(logging.INFO):
        config, layout = make_project(tmp_path)
        preprocess.run(config, layout)
        binarize.run(config, layout)
    assert {"train: 1 pair", "train: kept 1 of 1 pair"} <= set(caplog.messages)
    assert "train: 1 pair in 1 shard" in caplog.messages
