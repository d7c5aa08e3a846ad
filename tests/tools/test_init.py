import tomllib

import pytest

from pipelines.errors import ConfigError, CorpusError, UsageError
from pipelines.tools.init import run


def settings(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x\n")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own(*names, tokenizer="moses", **languages):
    """Values that name training text, two files a corpus."""
    pairs = [list(pair) for pair in zip(names[::2], names[1::2], strict=True)]
    values = {f"data.{side}_lang": code for side, code in languages.items()}
    return {"data.train": pairs, "preprocess.tokenizer": tokenizer, **values}


def test_the_recipe_numbers_writes_its_text(tmp_path):
    path = run(tmp_path / "demo", "numbers", {}, force=False)
    assert path == tmp_path / "demo" / "s2s.toml"
    assert len((tmp_path / "demo" / "data" / "test.en").read_text().splitlines()) == 500
    assert settings(path)["preprocess"]["tokenizer"] == "moses"


def test_file_names_are_relative_to_the_project(here):
    put(here, "a.de", "a.en")
    values = {"data.train": ["a.de", str(here / "a.en")]}
    path = run(here / "sub" / "demo", "small", values, force=False)
    found = settings(path)["data"]["train"]
    assert found == ["../../a.de", str(here / "a.en")]
    assert not (here / "sub" / "demo" / "data").exists()


def test_a_missing_file_leaves_no_project(tmp_path):
    with pytest.raises(CorpusError, match="nowhere not found"):
        run(tmp_path / "demo", "small", {"data.train": ["nowhere", "x"]}, force=False)
    assert not (tmp_path / "demo").exists()


def test_file_names_of_several_corpora_are_relative_to_the_project(here):
    put(here, "a.de", "a.en", "b.de", "b.en")
    path = run(here / "demo", "small", own("a.de", "a.en", "b.de", "b.en"), force=False)
    assert settings(path)["data"]["train"] == [
        ["../a.de", "../a.en"],
        ["../b.de", "../b.en"],
    ]


def test_own_text_replaces_every_split_of_the_recipe_numbers(here):
    put(here, "a.en", "a.fr")
    path = run(here / "demo", "numbers", own("a.en", "a.fr"), force=False)
    data = settings(path)["data"]
    assert data["train"] == ["../a.en", "../a.fr"]
    assert data["valid"] == data["test"] == []
    assert not (here / "demo" / "data").exists()


# Existing files


def test_force_replaces_the_settings_and_keeps_a_backup(tmp_path):
    path = run(tmp_path, "small", {}, force=False)
    first = path.read_bytes()
    with pytest.raises(UsageError, match=r"s2s\.toml exists already"):
        run(tmp_path, "small", {}, force=False)
    run(tmp_path, "small", {"train.seed": 7}, force=True)
    assert settings(path)["train"]["seed"] == 7
    assert (tmp_path / "s2s.toml.bak").read_bytes() == first
    run(tmp_path, "small", {"train.seed": 8}, force=True)
    assert (tmp_path / "s2s.toml.bak").read_bytes() == first
    assert settings(tmp_path / "s2s.toml.bak2")["train"]["seed"] == 7
    run(tmp_path, "small", {"train.seed": 8}, force=True)  # nothing to keep
    assert not (tmp_path / "s2s.toml.bak3").exists()


@pytest.mark.parametrize("force", [False, True])
def test_text_of_the_user_is_never_overwritten(tmp_path, force):
    put(tmp_path, "data/train.en", "data/valid.fr")
    with pytest.raises(UsageError) as caught:
        run(tmp_path, "numbers", {}, force=force)
    for name in ("train.en", "valid.fr"):
        assert str(tmp_path / "data" / name) in caught.value.message
        assert (tmp_path / "data" / name).read_text() == "x\n"
    assert "train.fr" not in caught.value.message
    assert "choose another folder; s2s init --train" in caught.value.hint
    assert len(list(tmp_path.rglob("*"))) == 3


def test_force_accepts_an_existing_text_that_is_equal(tmp_path):
    run(tmp_path, "numbers", {}, force=False)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()}
    with pytest.raises(UsageError, match=r"s2s\.toml, .*test\.fr exist already"):
        run(tmp_path, "numbers", {}, force=False)
    (tmp_path / "data" / "test.fr").unlink()
    run(tmp_path, "numbers", {}, force=True)
    assert len(before) == 6
    changed = [p.name for p, time in before.items() if p.stat().st_mtime_ns != time]
    assert changed == ["test.fr"]


def test_other_files_in_the_folder_are_kept(tmp_path):
    put(tmp_path, "data/mine.txt", "README")
    run(tmp_path, "numbers", {}, force=False)
    assert (tmp_path / "data" / "mine.txt").read_text() == "x\n"


@pytest.mark.parametrize("name", ["demo", "demo/data"])
def test_a_file_in_place_of_a_folder_is_refused(tmp_path, name):
    put(tmp_path, name)
    with pytest.raises(UsageError, match=f"{name} is a file, expected a folder"):
        run(tmp_path / "demo", "numbers", {}, force=True)


# Number words


def test_number_words_of_other_languages(tmp_path, caplog):
    values = {"data.source_lang": "de", "data.target_lang": "en"}
    with caplog.at_level("INFO"):
        path = run(tmp_path, "numbers", values, force=False)
    found = settings(path)
    assert found["data"] == {
        "source_lang": "de",
        "target_lang": "en",
        "train": ["data/train.de", "data/train.en"],
        "valid": ["data/valid.de", "data/valid.en"],
        "test": ["data/test.de", "data/test.en"],
    }
    assert found["preprocess"]["tokenizer"] == "characters"
    assert "number words de -> en: 12,000, 500 and 500 pairs" in caplog.text
    assert "tokenizer characters" in caplog.text
    assert "zwölf\n" in (tmp_path / "data" / "train.de").read_text(encoding="utf-8")


def test_a_tokenizer_that_is_given_is_kept(tmp_path):
    values = {"data.source_lang": "de", "preprocess.tokenizer": "sentencepiece"}
    path = run(tmp_path, "numbers", values, force=False)
    assert settings(path)["preprocess"]["tokenizer"] == "sentencepiece"


def test_a_language_with_fewer_numbers_is_reported(tmp_path, caplog):
    with caplog.at_level("INFO"):
        run(tmp_path, "numbers", {"data.source_lang": "am"}, force=False)
    assert "3,436, 179 and 179 pairs, which is all that num2words has" in caplog.text


@pytest.mark.parametrize("language", ["zh", "fr"])
def test_languages_without_number_words_leave_no_project(tmp_path, language):
    with pytest.raises(ConfigError):
        run(tmp_path / "a", "numbers", {"data.source_lang": language}, force=False)
    assert not (tmp_path / "a").exists()


# Languages of the user's own text


@pytest.mark.parametrize(
    ("values", "languages", "message"),
    [
        (own("a.de", "a.en.gz"), ("de", "en"), "from the file names: de -> en"),
        (own("a.de", "a.en", "b.src", "b.en"), ("de", "en"), "names: de -> en"),
        (own("a.de", "a.tgt", target="en"), ("de", "en"), "names: de -> en"),
        (own("a.src", "a.tgt", source="de", target="en"), ("de", "en"), ""),
        (own("a.de", "a.en", source="de", target="en"), ("de", "en"), ""),
        (own("a.src", "a.tgt", tokenizer="none"), ("und", "und"), "add -s CODE -t COD"),
        (own("a.de", "a.tgt", tokenizer="characters"), ("de", "und"), "add -t CODE"),
    ],
)
def test_languages_come_from_the_file_names(here, caplog, values, languages, message):
    put(here, *(name for pair in values["data.train"] for name in pair))
    with caplog.at_level("INFO"):
        path = run(here / "demo", "small", values, force=False)
    data = settings(path)["data"]
    assert (data["source_lang"], data["target_lang"]) == languages
    assert message in caplog.text
    assert message or not caplog.text


def test_without_text_the_recipe_names_the_languages(tmp_path):
    data = settings(run(tmp_path, "small", {}, force=False))["data"]
    assert (data["source_lang"], data["target_lang"]) == ("en", "fr")


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (("a.src", "a.tgt"), r"a\.src and a\.tgt do not give them", "-s CODE -t CODE,"),
        (("a.src", "a.en"), r"a\.src and a\.en do not give both", "add -s CODE,"),
        (("a.de", "a.en", "b.en", "b.de"), "a.de is de, b.en is en", "-s CODE"),
    ],
)
def test_languages_that_file_names_do_not_give_are_asked_for(
    here, names, message, hint
):
    put(here, *names)
    with pytest.raises(UsageError, match=message) as caught:
        run(here / "demo", "small", own(*names), force=False)
    assert hint in caught.value.hint
    assert not (here / "demo").exists()


@pytest.mark.parametrize(
    ("source", "target", "asked"),
    [
        ("characters", "none", ""),
        ("same", "none", "add -s CODE, such as"),
        ("none", "same", "add -t CODE, such as"),
    ],
)
def test_the_tokenizer_of_each_side_decides_whether_it_needs_a_language(
    here, source, target, asked
):
    put(here, "a.gr", "a.ph")
    tokenizers = {
        "preprocess.source_tokenizer": source,
        "preprocess.target_tokenizer": target,
    }
    values = own("a.gr", "a.ph") | tokenizers
    if not asked:
        assert run(here / "demo", "small", values, force=False).is_file()
        return
    with pytest.raises(UsageError) as caught:
        run(here / "demo", "small", values, force=False)
    assert caught.value.hint.startswith(asked)
    assert "--set preprocess.tokenizer=characters, or none" in caught.value.hint


def test_file_names_of_all_splits_must_name_the_same_language(here):
    put(here, "a.de", "a.en", "v.en", "v.de")
    values = {**own("a.de", "a.en"), "data.valid": ["v.en", "v.de"]}
    with pytest.raises(UsageError, match=r"a\.de is de, v\.en is en"):
        run(here / "demo", "small", values, force=False)


def test_a_language_that_contradicts_the_file_names_is_warned_of(here, caplog):
    put(here, "a.de", "a.en")
    values = own("a.de", "a.en", source="fr", target="eng")
    path = run(here / "demo", "small", values, force=False)
    assert settings(path)["data"]["source_lang"] == "fr"
    assert [record.message for record in caplog.records] == [
        "-s fr, but the name a.de says de"
    ]
