import json

import pytest

from pipelines.artifacts.text_pipeline import (
    TextPipelineFiles,
    read_text_pipeline,
    write_text_pipeline,
)
from pipelines.artifacts.vocab import SPECIALS, Vocabulary
from pipelines.errors import (
    CorruptArtifactError,
    MissingArtifactError,
    VersionError,
)

FILES = TextPipelineFiles(
    {"tokenizer": "sentencepiece"},
    Vocabulary((*SPECIALS, "a"), (0, 0, 9, 4)),
    Vocabulary((*SPECIALS, "b", "c"), (0, 0, 9, 3, 2)),
    {"source.spm": b"model", "target.spm": b"other model"},
)


def test_files_are_read_as_they_were_written(tmp_path):
    write_text_pipeline(tmp_path / "new" / "text", FILES)
    assert read_text_pipeline(tmp_path / "new" / "text") == FILES


def test_pipeline_json_has_the_hash_of_each_file(tmp_path):
    write_text_pipeline(tmp_path, FILES)
    content = json.loads((tmp_path / "pipeline.json").read_text())
    assert list(content) == ["version", "settings", "files", "sha256"]
    assert list(content["files"]) == [
        "source.spm",
        "source.vocab.tsv",
        "target.spm",
        "target.vocab.tsv",
    ]
    assert content["files"]["source.vocab.tsv"] == FILES.source_vocab.sha256


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_text_pipeline(tmp_path / name, FILES)
    one, two = (tmp_path / name / "pipeline.json" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    "name", ["source.vocab.tsv", "target.vocab.tsv", "source.spm", "target.spm"]
)
def test_a_damaged_file_is_named(tmp_path, name):
    write_text_pipeline(tmp_path, FILES)
    data = bytearray((tmp_path / name).read_bytes())
    data[-2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorruptArtifactError, match=name):
        read_text_pipeline(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingArtifactError, match=r"pipeline\.json"):
        read_text_pipeline(tmp_path)
    write_text_pipeline(tmp_path, FILES)
    (tmp_path / "target.vocab.tsv").unlink()
    with pytest.raises(MissingArtifactError, match=r"target\.vocab\.tsv"):
        read_text_pipeline(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}'])
def test_a_file_that_is_not_pipeline_json_is_refused(tmp_path, text):
    (tmp_path / "pipeline.json").write_text(text)
    with pytest.raises(CorruptArtifactError, match=r"pipeline\.json is damaged"):
        read_text_pipeline(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("version", 99, VersionError),
        ("settings", {}, CorruptArtifactError),
        ("files", {}, CorruptArtifactError),
    ],
)
def test_an_edited_pipeline_json_is_refused(tmp_path, key, value, error):
    write_text_pipeline(tmp_path, FILES)
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(error):
        read_text_pipeline(tmp_path)
