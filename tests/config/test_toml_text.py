import pytest

from pipelines.config.toml_text import parse_toml
from pipelines.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("unk = copy", ": unk = copy", 'text needs quotes: unk = "copy"'),
        ("device = cuda:0 # mine", ": device = cuda:0", 'device = "cuda:0"'),
        ("bias = True  # x", ": bias = True", "write bias = true"),
        ("bias = yes", ": bias = yes", "write bias = true"),
        ("bias = off", ": bias = off", "write bias = false"),
        ("rate = 0,01", ": rate = 0,01", "write rate = 0.01"),
        ("cells: 64", ": cells: 64", "write cells = 64"),
        ("model]", ": model]", "a line is a comment (# ...), a [section] or key ="),
        ("seed = 1\nseed = 2", "(at line 2, column 9)", "this key is twice"),
        ("[train]\n[train]", ": [train]", "this section is there twice"),
        ("train = data/train.en", "", 'quotes: train = "data/train.en"'),
        ("betas = [0.9, 0.98\nseed = 1", "Unclosed array", "a list ends with ]"),
        ("seed = 1 2", ": seed = 1 2", ""),
        ('unk = """', "nterminated string", ""),
    ],
)
def test_a_line_that_is_not_toml_is_shown_with_what_it_should_be(text, message, hint):
    with pytest.raises(ConfigError) as caught:
        parse_toml(text.encode(), "s2s.toml")
    assert caught.value.message.startswith("s2s.toml is not TOML: ")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_bytes_that_are_not_utf_8_are_refused():
    with pytest.raises(ConfigError, match=r"s2s\.toml is not UTF-8"):
        parse_toml(b"a = \xff", "s2s.toml")
