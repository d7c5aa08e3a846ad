import json
from importlib import metadata

import pytest

from pipelines.artifacts.files import sha256_bytes
from pipelines.artifacts.manifest import (
    Manifest,
    Output,
    damaged_files,
    environment,
    fingerprint,
    read_manifest,
    require_sound,
    write_manifest,
)
from pipelines.errors import (
    CorruptArtifactError,
    MissingArtifactError,
    VersionError,
)

PLAIN = Manifest("binarize", "f", {"a.b": 1}, {"preprocess": "p"}, {"pairs": 3})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "sub" / "two").write_bytes(b"22")
    write_manifest(tmp_path, PLAIN)
    return tmp_path


def edit(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_manifest_reads_as_it_was_written(folder):
    written = write_manifest(folder, PLAIN)
    assert read_manifest(folder) == written
    assert written.settings == PLAIN.settings
    assert written.outputs == {
        "one": Output(1, sha256_bytes(b"1")),
        "sub/two": Output(2, sha256_bytes(b"22")),
    }


def test_writing_again_gives_the_same_bytes(folder):
    first = (folder / "manifest.json").read_bytes()
    write_manifest(folder, PLAIN)
    assert (folder / "manifest.json").read_bytes() == first


def test_a_missing_manifest_is_named(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(MissingArtifactError, match=r"manifest\.json not found"):
            read_manifest(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "5", '{"sha256": "x"}'])
def test_a_file_that_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(CorruptArtifactError, match=r"manifest\.json is damaged"):
        read_manifest(tmp_path)


def test_a_changed_manifest_is_refused(folder):
    edit(folder, counts={"pairs": 4})
    with pytest.raises(CorruptArtifactError, match="its own hash differs"):
        read_manifest(folder)


def test_another_digit_of_the_same_number_is_damage(folder):
    counts = {"perplexity": 1.0000000000000002}
    write_manifest(folder, Manifest("train", "f", {}, {}, counts))
    path = folder / "manifest.json"
    text = path.read_text()
    assert float("1.0000000000000003") == counts["perplexity"]
    path.write_text(text.replace("1.0000000000000002", "1.0000000000000003"))
    with pytest.raises(CorruptArtifactError, match="damaged"):
        read_manifest(folder)


def test_another_version_is_refused_with_both_numbers(folder):
    edit(folder, schema_version=99)
    with pytest.raises(VersionError, match="has format 99, this s2s reads 1"):
        read_manifest(folder)
    assert "format 99" in damaged_files(folder)[0]


def test_a_sound_folder_has_no_damage(folder):
    assert damaged_files(folder) == []
    assert require_sound(folder) == read_manifest(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "one").unlink(), "one is missing"),
        (lambda f: (f / "one").write_bytes(b"12"), "has 2 bytes, expected 1"),
        (lambda f: (f / "sub" / "two").write_bytes(b"23"), "two is damaged"),
    ],
)
def test_damage_is_named(folder, damage, message):
    damage(folder)
    assert len(damaged_files(folder)) == 1
    assert message in damaged_files(folder)[0]
    with pytest.raises(CorruptArtifactError, match=message):
        require_sound(folder)


def test_a_fingerprint_covers_stage_settings_and_inputs():
    first = fingerprint("train", {"a": 1, "b": 2}, {"x": "y"})
    assert fingerprint("train", {"b": 2, "a": 1}, {"x": "y"}) == first
    others = [
        fingerprint("score", {"a": 1, "b": 2}, {"x": "y"}),
        fingerprint("train", {"a": 1, "b": 3}, {"x": "y"}),
        fingerprint("train", {"a": 1, "b": 2}, {"x": "z"}),
    ]
    assert len({first, *others}) == 4


def test_a_stage_adds_to_the_environment(tmp_path):
    manifest = Manifest("train", "f", {}, {}, {}, environment={"precision": "bf16"})
    written = write_manifest(tmp_path, manifest)
    assert written.environment == {**environment(), "precision": "bf16"}
    assert read_manifest(tmp_path) == written


def test_the_environment_names_versions(monkeypatch):
    assert environment()["numpy"][0].isdigit()

    def none(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", none)
    assert environment.__wrapped__()["torch"] == "unknown"
