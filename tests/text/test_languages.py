from pathlib import Path

import pytest

from pipelines.text.languages import language_of, languages_of, main_language


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("train.de", "de"),
        ("train.de.gz", "de"),
        ("news.de.zst", "de"),
        ("corpus.de-en.en", "en"),
        ("train.tok.de", "de"),
        ("train.de.txt", "de"),
        ("train.de.txt.gz", "de"),
        ("de.txt", "de"),
        ("train.deu", "de"),
        ("train.fre", "fr"),
        ("train.yue", "yue"),
        ("train.pt-BR", "pt-BR"),
        ("train.zh_Hans", "zh"),
        ("train.eng_Latn", "en"),
        ("data/en/train.fr", "fr"),
        ("train.src", None),
        ("train.tok", None),
        ("train.xx", None),
        ("train.txt", None),
        ("train.de-en", None),
        ("train.de.tok", None),
        ("train", None),
        ("train.cmd.gz", None),
        ("", None),
    ],
)
def test_only_codes_of_languages_are_read(name, language):
    assert language_of(Path(name)) == language


def test_each_language_has_the_first_file_of_its_name():
    paths = [Path(name) for name in ("a.de", "b.src", "c.de", "d.en")]
    assert languages_of(paths) == {"de": Path("a.de"), "en": Path("d.en")}
    assert languages_of([Path("a.src")]) == {}


@pytest.mark.parametrize("code", ["pt", "pt-BR", "pt_br", "por", "PT"])
def test_the_main_language_has_no_region(code):
    assert main_language(code) == "pt"
