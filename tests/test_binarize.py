import numpy as np
import pytest

from pipelines import binarize, preprocess
from pipelines.artifacts.manifest import damaged_files, read_manifest
from pipelines.artifacts.shards import open_shard
from pipelines.errors import CorruptArtifactError, MissingArtifactError
from pipelines.text import TextPipeline
from tests.small_corpus import PAIRS, file_bytes, make_project, write_pairs


@pytest.fixture
def project(tmp_path):
    write_pairs(tmp_path, "test", [("", "x"), ("unseen cat", "Le chat.")])
    config, layout = make_project(tmp_path, part_size=5)
    preprocess.run(config, layout)
    return config, layout


def test_shards_hold_the_ids_of_the_text(project):
    config, layout = project
    manifest = binarize.run(config, layout)
    assert manifest == read_manifest(layout.binarize)
    assert damaged_files(layout.binarize) == []
    pipeline = TextPipeline.load(layout.preprocess / "text")
    shards = [open_shard(path) for path in sorted(layout.binarize.glob("train.*"))]
    assert [len(shard) for shard in shards] == [5, 5, 2]
    pairs = [shard.pair(i) for shard in shards for i in range(len(shard))]
    for (src, tgt), (english, french) in zip(pairs, PAIRS * 3, strict=True):
        assert src.tolist() == pipeline.source_ids(english)
        assert tgt.tolist() == pipeline.target_ids(french)


def test_shards_name_their_vocabularies(project):
    config, layout = project
    binarize.run(config, layout)
    pipeline = TextPipeline.load(layout.preprocess / "text")
    metadata = open_shard(layout.binarize / "train.00001.safetensors").metadata
    assert metadata == {
        "src_vocab": pipeline.source_vocab.sha256,
        "tgt_vocab": pipeline.target_vocab.sha256,
        "split": "train",
        "part": "1",
    }


def test_the_manifest_counts_pairs_tokens_and_unknown_ones(project):
    config, layout = project
    counts = binarize.run(config, layout).counts
    assert counts["train"] == {
        "shards": 3,
        "pairs": 12,
        "source_tokens": 57,
        "target_tokens": 60,
        "source_unknown": 0,
        "target_unknown": 0,
    }
    assert counts["test"]["source_unknown"] == 1
    assert counts["test"]["target_unknown"] == 1


def test_a_blank_test_line_is_eos_alone(project):
    config, layout = project
    binarize.run(config, layout)
    shard = open_shard(layout.binarize / "test.00000.safetensors")
    np.testing.assert_array_equal(shard.pair(0)[0], [2])


@pytest.mark.slow
def test_two_processes_write_the_same_bytes_as_one(project, tmp_path):
    written = []
    for workers in (1, 2):
        config, layout = make_project(tmp_path, part_size=5, workers=workers)
        binarize.run(config, layout)
        written.append(file_bytes(layout.binarize))
    assert written[0] == written[1]


def test_a_part_without_any_pair_makes_an_empty_shard(tmp_path):
    write_pairs(tmp_path, "train", [("a", ""), ("b", "x")])
    config, layout = make_project(tmp_path, part_size=1)
    preprocess.run(config, layout)
    counts = binarize.run(config, layout).counts
    assert counts["train"]["pairs"] == 1
    assert len(open_shard(layout.binarize / "train.00000.safetensors")) == 0


def test_the_test_split_may_be_left_out(tmp_path):
    config, layout = make_project(tmp_path)
    data = config.data.model_copy(update={"test": ()})
    config = config.model_copy(update={"data": data})
    preprocess.run(config, layout)
    assert set(binarize.run(config, layout).counts) == {"train", "valid"}


def test_a_missing_preprocess_folder_is_reported(tmp_path):
    config, layout = make_project(tmp_path)
    with pytest.raises(MissingArtifactError, match=r"preprocess/manifest\.json"):
        binarize.run(config, layout)


def test_unequal_sides_of_a_part_are_named(project):
    config, layout = project
    path = layout.preprocess / "train.00001.tgt"
    path.write_bytes(path.read_bytes() + b"x </s>\n")
    with pytest.raises(
        CorruptArtifactError, match=r"train\.00001\.src has 5 lines, .*tgt has 6"
    ):
        binarize.run(config, layout)
    assert not list(layout.root.glob("binarize*"))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda p: p.unlink(), MissingArtifactError, "not found"),
        (lambda p: p.write_bytes(b"a </s>\nb"), CorruptArtifactError, ":2: .* short"),
        (lambda p: p.write_bytes(b"\xff </s>\n"), CorruptArtifactError, "not UTF-8"),
    ],
)
def test_a_damaged_part_is_named(project, damage, error, message):
    config, layout = project
    damage(layout.preprocess / "train.00002.src")
    with pytest.raises(error, match=rf"train\.00002\.src.*{message}"):
        binarize.run(config, layout)


def test_a_damaged_vocabulary_is_named(project):
    config, layout = project
    path = layout.preprocess / "text" / "target.vocab.tsv"
    path.write_bytes(path.read_bytes() + b"new\t1\n")
    with pytest.raises(CorruptArtifactError, match=r"target\.vocab\.tsv"):
        binarize.run(config, layout)
