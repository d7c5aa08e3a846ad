import hashlib
from dataclasses import replace

import pytest

from pipelines.errors import ConfigError, CorpusError
from pipelines.project.input_files import (
    corpus_roles,
    hash_input_files,
    hash_references,
    missing_files,
)
from tests.project.conftest import complete, settings

SEVERAL = (
    'data.train=[["train.en", "train.fr"], ["valid.en", "valid.fr"]]',
    'data.valid=[["valid.en", "valid.fr"], ["test.en", "test.fr"]]',
)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_text_has_a_role_by_split_and_number(layout):
    hashes = hash_input_files(settings(layout, *SEVERAL), layout)
    assert set(hashes) == {
        *("train.src", "train.tgt", "train.2.src", "train.2.tgt"),
        *("valid.src", "valid.tgt", "valid.2.src", "valid.2.tgt"),
        *("test.src", "test.tgt"),
    }
    assert hashes["train.2.tgt"] == sha256(layout.root / "valid.fr")
    assert corpus_roles("train", 2) == ("train.2.src", "train.2.tgt")


def test_references_are_the_targets_of_the_split(layout):
    config = settings(layout, *SEVERAL)
    test, valid = (sha256(layout.root / f"{split}.fr") for split in ("test", "valid"))
    assert hash_references(config, layout) == {"reference": test}
    assert hash_references(config, replace(layout, split="valid")) == {
        "reference": valid,
        "reference.2": test,
    }


def test_own_vocabularies_are_inputs_by_content(layout):
    (layout.root / "words").write_text("a\n")
    config = settings(layout, "preprocess.source_vocab=words")
    hashes = hash_input_files(config, layout)
    assert hashes["preprocess.source_vocab"] == sha256(layout.root / "words")


def test_a_missing_file_has_the_hash_that_preprocess_recorded(layout):
    config = settings(layout)
    before = hash_input_files(config, layout)
    complete(layout, "preprocess")
    (layout.root / "train.en").unlink()
    assert hash_input_files(config, layout) == before
    assert missing_files(config, layout) == ["train.en"]


def test_a_missing_vocabulary_that_was_never_used_is_an_error(layout):
    complete(layout, "preprocess")
    config = settings(layout, "preprocess.target_vocab=nowhere")
    assert missing_files(config, layout) == ["nowhere"]
    with pytest.raises(ConfigError, match="nowhere not found") as caught:
        hash_input_files(config, layout)
    assert caught.value.hint == "check preprocess.target_vocab in s2s.toml"


def test_a_missing_text_that_was_never_used_is_an_error(layout):
    (layout.root / "valid.fr").unlink()
    with pytest.raises(CorpusError, match=r"valid\.fr not found") as caught:
        hash_input_files(settings(layout), layout)
    assert caught.value.hint == "check [data] in s2s.toml"
