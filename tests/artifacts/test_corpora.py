import gzip

import pytest

from pipelines.artifacts.corpora import (
    decoded_lines_of,
    describe_corpora,
    lines_of,
    read_corpora,
    survey_corpora,
)
from pipelines.errors import CorpusError
from tests.small_corpus import write_pairs

NAMES = [("first.en", "first.fr"), ("second.en", "second.fr")]


@pytest.fixture
def corpora(tmp_path):
    write_pairs(tmp_path, "first", [(f"a{n}", f"b{n}") for n in range(5)])
    write_pairs(tmp_path, "second", [(f"c{n}", f"d{n}") for n in range(2)])
    return survey_corpora(tmp_path, NAMES)


def test_a_survey_counts_pairs_and_parts(tmp_path, corpora):
    assert [corpus.names for corpus in corpora] == NAMES
    assert [corpus.num_pairs for corpus in corpora] == [5, 2]
    assert [corpora[0].num_parts(size) for size in (1, 2, 5, 9)] == [5, 3, 1, 1]
    assert str(corpora[1]) == f"{tmp_path / 'second.en'} and {tmp_path / 'second.fr'}"


def test_part_numbers_run_through_the_split_and_line_numbers_do_not(corpora):
    parts = list(read_corpora(corpora, part_size=2))
    assert [part.index for _, part in parts] == [0, 1, 2, 3]
    assert [part.first_line for _, part in parts] == [1, 3, 5, 1]
    assert [corpus for corpus, _ in parts] == [corpora[0]] * 3 + [corpora[1]]
    assert parts[-1][1].src == [b"c0", b"c1"]


@pytest.mark.parametrize("part_size", [1, 2, 3, 4, 10])
def test_parts_hold_every_pair_once_and_in_order(tmp_path, part_size):
    pairs = [(f"{n}", f"{-n}") for n in range(7)]
    write_pairs(tmp_path, "a", pairs)
    corpora = survey_corpora(tmp_path, [("a.en", "a.fr")])
    parts = [part for _, part in read_corpora(corpora, part_size=part_size)]
    assert [line.decode() for part in parts for line in part.src] == [
        src for src, _ in pairs
    ]
    assert [line.decode() for part in parts for line in part.tgt] == [
        tgt for _, tgt in pairs
    ]
    assert all(part.src[0] == b"%d" % (part.first_line - 1) for part in parts)


def test_the_manifest_describes_which_parts_hold_which_files(corpora):
    assert describe_corpora(corpora, part_size=2) == [
        {"files": ["first.en", "first.fr"], "first_part": 0, "parts": 3, "read": 5},
        {"files": ["second.en", "second.fr"], "first_part": 3, "parts": 1, "read": 2},
    ]


def test_lines_of_several_files_are_concatenated(tmp_path, corpora):
    names = [target for _, target in NAMES]
    expected = ["b0", "b1", "b2", "b3", "b4", "d0", "d1"]
    assert list(decoded_lines_of(tmp_path, names)) == expected
    assert list(lines_of(tmp_path, names)) == [line.encode() for line in expected]


@pytest.mark.parametrize(
    "read",
    [
        lambda root: survey_corpora(root, [("nowhere", "nowhere")]),
        lambda root: list(lines_of(root, ["nowhere"])),
        lambda root: list(decoded_lines_of(root, ["nowhere"])),
    ],
)
def test_errors_about_a_missing_file_point_to_the_settings(tmp_path, read):
    with pytest.raises(CorpusError, match="nowhere not found") as caught:
        read(tmp_path)
    assert caught.value.hint == "check [data] in s2s.toml"


@pytest.mark.parametrize("part_size", [1, 2, 9])
@pytest.mark.parametrize("name", ["first.en", "first.fr", "second.en", "second.fr"])
@pytest.mark.parametrize(
    "edit", [lambda data: data + b"x\n", lambda _: b"", bytes.upper]
)
def test_a_file_that_changed_since_its_survey_is_refused(
    tmp_path, corpora, name, part_size, edit
):
    path = tmp_path / name
    path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(CorpusError, match=rf"{name} changed while it was read"):
        list(read_corpora(corpora, part_size=part_size))


def test_compressed_corpora_are_compared_by_their_compressed_bytes(tmp_path):
    for side in ("en", "fr"):
        (tmp_path / f"a.{side}.gz").write_bytes(gzip.compress(b"a\nb\n", mtime=1))
    corpora = survey_corpora(tmp_path, [("a.en.gz", "a.fr.gz")])
    assert len(list(read_corpora(corpora, part_size=1))) == 2
    (tmp_path / "a.fr.gz").write_bytes(gzip.compress(b"a\nb\n", mtime=2))
    with pytest.raises(CorpusError, match=r"a\.fr\.gz changed"):
        list(read_corpora(corpora, part_size=1))
