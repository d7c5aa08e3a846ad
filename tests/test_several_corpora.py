"""Several corpora in one split give the tokens of their concatenation."""

import logging
from dataclasses import replace

import pytest

from pipelines import preprocess
from pipelines.artifacts.corpora import decoded_lines_of, lines_of
from pipelines.artifacts.manifest import read_manifest
from pipelines.config import load
from pipelines.config.schema import Config, DataConfig
from pipelines.errors import CorpusError
from pipelines.estimate.data import read_training_data
from pipelines.project.stages import identity
from pipelines.project.status import StageState, stage_status
from pipelines.trainer.validation_bleu import validation_text
from tests.small_corpus import PAIRS, AfterTask, make_project, write_lines, write_pairs

FIRST = [*PAIRS, ("", "vide"), ("The dog.", "Le chien.")]
SECOND = [("A cat.", "Un chat."), ("blank", " "), *PAIRS]


def two(folder, split="train", **settings):
    """A project with two corpora in one split."""
    write_pairs(folder, "first", FIRST)
    write_pairs(folder, "second", SECOND)
    config, layout = make_project(folder, **settings)
    return named(config, split, "first", "second"), layout


def named(config, split, *names):
    pairs = tuple((f"{name}.en", f"{name}.fr") for name in names)
    data = DataConfig.model_validate({**config.data.model_dump(), split: pairs})
    return config.model_copy(update={"data": data})


def joined(folder, split, config):
    """The same project with both corpora in one pair of files."""
    write_pairs(folder, "joined", FIRST + SECOND)
    return named(config, split, "joined")


def tokens(folder, split, side):
    parts = sorted(folder.glob(f"{split}.*.{side}"))
    return [line for part in parts for line in part.read_text().splitlines()]


@pytest.mark.parametrize("tokenizer", ["moses", "sentencepiece"])
@pytest.mark.parametrize("split", ["train", "valid"])
def test_two_corpora_are_their_concatenation(tmp_path, split, tokenizer):
    settings = {"part_size": 4, "tokenizer": tokenizer, "sentencepiece_sample_size": 7}
    config, layout = two(tmp_path, split, **settings)
    results = []
    for variant in (config, joined(tmp_path, split, config)):
        manifest = preprocess.run(variant, layout)
        text = layout.preprocess / "text"
        counts = dict(manifest.counts[split])
        counts.pop("corpora", None)
        counts.pop("parts")
        results.append(
            (
                [tokens(layout.preprocess, split, side) for side in ("src", "tgt")],
                [path.read_bytes() for path in sorted(text.iterdir())],
                counts,
            )
        )
    assert results[0] == results[1]


def test_parts_stay_within_a_corpus_and_the_manifest_says_which(tmp_path):
    config, layout = two(tmp_path, part_size=4)
    manifest = preprocess.run(config, layout)
    assert manifest.counts["train"]["parts"] == 4
    assert manifest.counts["train"]["corpora"] == [
        {"files": ["first.en", "first.fr"], "first_part": 0, "parts": 2, "read": 6},
        {"files": ["second.en", "second.fr"], "first_part": 2, "parts": 2, "read": 6},
    ]
    assert "corpora" not in manifest.counts["valid"]
    assert (layout.preprocess / "dropped.tsv").read_text().splitlines()[1:] == [
        "train\t00001\t5\tblank",
        "train\t00002\t2\tblank",  # line 2 of the second corpus
    ]
    sizes = [
        len((layout.preprocess / f"train.{n:05d}.src").read_text().splitlines())
        for n in range(4)
    ]
    assert sizes == [4, 1, 3, 2]


def test_every_file_is_an_input(tmp_path):
    config, layout = two(tmp_path)
    manifest = preprocess.run(config, layout)
    assert list(manifest.inputs)[:4] == [
        "train.src",
        "train.tgt",
        "train.2.src",
        "train.2.tgt",
    ]
    assert stage_status("preprocess", config, layout).state is StageState.FRESH
    write_pairs(tmp_path, "second", [*SECOND, ("More.", "Plus.")])
    status = stage_status("preprocess", config, layout)
    assert (status.state, status.reason) == (
        StageState.STALE,
        "train.2.src changed; train.2.tgt changed",
    )


def test_every_reference_is_an_input_of_the_score(tmp_path):
    config, layout = two(tmp_path, "valid")
    preprocess.run(config, layout)
    valid = replace(layout, split="valid")
    before = identity("score", config, valid).inputs
    assert {"reference", "reference.2"} <= set(before)
    write_lines(tmp_path / "second.fr", ["autre"] * 6)
    after = identity("score", config, valid).inputs
    assert before["reference"] == after["reference"]
    assert before["reference.2"] != after["reference.2"]


def test_lines_of_reads_all_corpora_and_names_a_missing_one(tmp_path):
    config, layout = two(tmp_path, "valid")
    sources, targets = zip(*config.data.splits()["valid"], strict=True)
    pairs = FIRST + SECOND
    raw = [src.encode() for src, _ in pairs]
    assert list(lines_of(layout.root, sources)) == raw
    assert list(decoded_lines_of(layout.root, targets)) == [tgt for _, tgt in pairs]
    (tmp_path / "second.en").unlink()
    with pytest.raises(CorpusError) as caught:
        list(lines_of(layout.root, sources))
    assert caught.value.hint == "check [data] in s2s.toml"


def test_a_list_of_one_pair_is_that_pair(tmp_path):
    config, layout = make_project(tmp_path)
    listed = named(config, "train", "train")
    assert listed.data == config.data
    assert identity("preprocess", listed, layout) == identity(
        "preprocess", config, layout
    )


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("second.en", ["a"], r"second\.en has 1 line, .*second\.fr has 6"),
        ("second.fr", [], r"second\.fr is empty"),
        ("second.fr", None, r"second\.fr not found"),
    ],
)
def test_problems_of_a_further_corpus_are_reported(tmp_path, name, lines, message):
    config, layout = two(tmp_path)
    if lines is None:
        (tmp_path / name).unlink()
    else:
        write_lines(tmp_path / name, lines)
    with pytest.raises(CorpusError, match=message):
        preprocess.run(config, layout)
    assert not list(tmp_path.glob("preprocess*"))


def test_lines_of_a_further_corpus_have_its_own_numbers(tmp_path, caplog):
    config, layout = two(tmp_path, part_size=4)
    write_lines(tmp_path / "second.en", ["a", "b", "c", "d", "e\x00e", "f"])
    with caplog.at_level(logging.INFO):
        preprocess.run(config, layout)
    assert f"the first at {tmp_path / 'second.en'}:5" in caplog.text
    assert f"{tmp_path / 'first.en'} and {tmp_path / 'first.fr'}: 6 pairs" in (
        caplog.text
    )
    (tmp_path / "second.en").write_bytes(b"a\nb\n\xff\nd\ne\nf\n")
    with pytest.raises(CorpusError, match=r"second\.en:3: not UTF-8"):
        preprocess.run(config, layout)


def test_a_further_corpus_that_changes_meanwhile_is_refused(tmp_path):
    config, layout = two(tmp_path)
    change = AfterTask(
        "tokenize", lambda: write_lines(tmp_path / "second.fr", ["autre"] * 6)
    )
    with pytest.raises(CorpusError, match=r"second\.fr changed while it was read"):
        preprocess.run(config, layout, progress=change)


def test_a_split_without_a_usable_pair_names_all_its_files(tmp_path):
    config, layout = two(tmp_path, "valid")
    for name in ("first", "second"):
        write_pairs(tmp_path, name, [("", "x")])
    with pytest.raises(CorpusError, match=r"first\.en and .*; .*second\.en and "):
        preprocess.run(config, layout)
    with pytest.raises(CorpusError, match=r"first\.en and .*; .*second\.en and "):
        read_training_data(named(config, "train", "first", "second"), layout)


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path):
    manifests = []
    for workers in (1, 2):
        config, layout = two(tmp_path, part_size=2, workers=workers)
        manifests.append(preprocess.run(config, layout))
    assert manifests[0].outputs == manifests[1].outputs


def test_the_estimate_counts_all_corpora(tmp_path):
    config, layout = two(tmp_path)
    found = read_training_data(config, layout)
    one = read_training_data(joined(tmp_path, "train", config), layout)
    assert len(found.src_lengths) == 10
    assert found.src_lengths.tolist() == one.src_lengths.tolist()
    assert found.tgt_lengths.tolist() == one.tgt_lengths.tolist()
    assert found.vocab_sizes == one.vocab_sizes
    (tmp_path / "second.en").unlink()
    assert "second.en is not there" in read_training_data(config, layout).reason


def test_validation_text_has_the_lines_of_all_corpora(tmp_path):
    config, layout = two(tmp_path, "valid")
    preprocess.run(config, layout)
    assert read_manifest(layout.preprocess).counts["valid"]["read"] == 12
    assert validation_text(config, layout) == [
        [pair[side] for pair in FIRST + SECOND] for side in (0, 1)
    ]


@pytest.mark.parametrize(
    ("overrides", "environ"),
    [
        (['data.train=[["a", "b"], ["c", "d"]]'], {}),
        ([], {"S2S_DATA__TRAIN": '[["a", "b"], ["c", "d"]]'}),
    ],
)
def test_settings_take_both_forms(tmp_path, overrides, environ):
    (tmp_path / "s2s.toml").write_text('[data]\nvalid = [["e", "f"]]\n')
    data = load(tmp_path, overrides=overrides, environ=environ).config.data
    assert data.splits() == {
        "train": (("a", "b"), ("c", "d")),
        "valid": (("e", "f"),),
        "test": (("data/test.en", "data/test.fr"),),
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a"], "train needs two files"),
        ([["a", "b"], ["c"]], "train needs two files"),
        ([["a", "b"], "c"], "train needs two files"),
        (["a", "b", "c"], "train needs two files"),
        ([["a", 1]], "train needs two files"),
        ("a", "train needs two files"),
    ],
)
def test_a_value_that_is_not_pairs_of_files_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        Config.model_validate({"data": {"train": value}})


def test_there_is_one_test_corpus():
    with pytest.raises(ValueError, match="test takes one"):
        DataConfig.model_validate({"test": [["a", "b"], ["c", "d"]]})
