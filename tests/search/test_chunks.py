import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.artifacts.translations import Output, Translation
from pipelines.config import TranslateConfig
from pipelines.errors import S2SError
from pipelines.search.chunks import translate_chunks


class Echo:
    """Translates a line into itself."""

    config = TranslateConfig(max_source_length=5)
    chunk_size, identity = 2, "echo"

    def translate(self, lines):
        return [
            Translation((Output(x, (x,), -1.0, -1.0, ()),), truncated=len(x) > 5)
            for x in lines
        ]


@given(st.lists(st.lists(st.binary(max_size=8), max_size=5), max_size=5))
def test_one_line_in_one_line_out_for_any_bytes(chunks):
    found = [t for chunk in translate_chunks(chunks, Echo()) for t in chunk]
    raw = [line for chunk in chunks for line in chunk]
    assert [t.text for t in found] == [line.decode(errors="replace") for line in raw]


def test_invalid_bytes_and_truncated_lines_are_reported_with_their_numbers(caplog):
    chunks = [[b"ok", b"\xff"], [b"toolong", b"\xfe", b"x", b"\xfd", b"\xfc"]]
    assert [len(w) for w in translate_chunks(chunks, Echo())] == [2, 5]
    assert "4 lines not UTF-8" in caplog.text
    assert "lines 2, 4, 6, ..." in caplog.text
    assert "1 line longer than 5 tokens" in caplog.text


def test_mostly_empty_translations_are_a_warning(caplog):
    class Empty(Echo):
        def translate(self, lines):
            empty = Output("", (), -1.0, -1.0, ())
            return [Translation((empty,) if line else ()) for line in lines]

    list(translate_chunks([[b"", b"a"], [b"b"]], Empty(), first=5))
    assert "2 of 2 translations are empty, the first that of line 7" in caplog.text
    caplog.clear()
    list(translate_chunks([[b"a"]], Empty()))
    assert "1 of 1 translation is empty, the first that of line 1" in caplog.text
    caplog.clear()
    list(translate_chunks([[b"", b""]], Empty()))
    assert caplog.text == ""


@pytest.mark.parametrize(("num_unknown", "warned"), [(1, False), (3, True)])
def test_mostly_unknown_tokens_are_a_warning(caplog, num_unknown, warned):
    class Strange(Echo):
        def translate(self, lines):
            outputs = super().translate(lines)[0].outputs
            return [Translation(outputs, False, 4, num_unknown) for _ in lines]

    list(translate_chunks([[b"a"], [b"b", b"c"]], Strange()))
    assert ("75 % of the input's tokens are not in" in caplog.text) == warned
    assert ("source vocabulary" in caplog.text) == warned


def test_a_lost_line_is_an_error_not_a_shorter_output():
    class Loser(Echo):
        def translate(self, lines):
            return super().translate(lines)[:-1]

    with pytest.raises(S2SError, match="2 lines in, 1 line out"):
        list(translate_chunks([[b"a", b"b"]], Loser()))
