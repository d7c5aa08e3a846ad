import pytest

from pipelines.artifacts.files import sha256_file
from pipelines.config import PreprocessConfig
from pipelines.errors import ConfigError
from pipelines.text.own_files import OwnFiles
from pipelines.text.tokenizers.sentencepiece_model import train_sentencepiece


def test_files_are_read_from_the_project(tmp_path):
    (tmp_path / "words").write_text("a\nb\t3\n")
    model = train_sentencepiece(["the cat"] * 3, kind="bpe", vocab_size=20)
    (tmp_path / "pieces.model").write_bytes(model)
    settings = PreprocessConfig(
        tokenizer="sentencepiece",
        source_vocab="words",
        target_sentencepiece="pieces.model",
    )
    own = OwnFiles.read(settings, tmp_path)
    assert own.tokens == {"source_vocab": ("a", "b")}
    assert own.models == {"target_sentencepiece": model}
    assert own.hashes == {
        "source_vocab": sha256_file(tmp_path / "words"),
        "target_sentencepiece": sha256_file(tmp_path / "pieces.model"),
    }


def test_without_own_files_nothing_is_read(tmp_path):
    assert OwnFiles.read(PreprocessConfig(), tmp_path).hashes == {}


def test_a_missing_file_is_named_with_its_setting(tmp_path):
    with pytest.raises(ConfigError, match="nowhere not found") as caught:
        OwnFiles.read(PreprocessConfig(target_vocab="nowhere"), tmp_path)
    assert caught.value.hint == "check preprocess.target_vocab in s2s.toml"
