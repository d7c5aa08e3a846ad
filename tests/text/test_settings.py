import pytest

from pipelines.config import Config
from pipelines.text import TextSettings


def settings(**preprocess):
    data = {"source_lang": "de", "target_lang": "en"}
    config = Config.model_validate({"data": data, "preprocess": preprocess})
    return TextSettings.from_config(config)


def test_settings_of_a_project_are_selected():
    chosen = settings(tokenizer="none", lowercase=True, reverse_source=False)
    assert (chosen.source_lang, chosen.target_lang) == ("de", "en")
    assert (chosen.tokenizer, chosen.target_tokenizer) == ("none", None)
    assert chosen.lowercase
    assert not chosen.reverse_source


@pytest.mark.parametrize(
    ("preprocess", "tokenizers"),
    [
        ({"source_tokenizer": "none", "target_tokenizer": "none"}, ("none", None)),
        ({"tokenizer": "none", "target_tokenizer": "moses"}, ("none", "moses")),
        ({"tokenizer": "moses", "source_tokenizer": "none"}, ("none", "moses")),
    ],
)
def test_the_target_tokenizer_is_set_only_where_the_sides_differ(
    preprocess, tokenizers
):
    chosen = settings(**preprocess)
    assert (chosen.tokenizer, chosen.target_tokenizer) == tokenizers


@pytest.mark.parametrize("target", ["none", "moses"])
def test_settings_are_read_from_their_json(target):
    chosen = settings(tokenizer="none", target_tokenizer=target)
    content = chosen.to_json()
    assert ("target_tokenizer" in content) is (target == "moses")
    assert TextSettings.from_json(content) == chosen


@pytest.mark.parametrize("content", [{}, settings().to_json() | {"vowels": "long"}])
def test_missing_and_unknown_settings_are_refused(content):
    with pytest.raises(TypeError):
        TextSettings.from_json(content)
