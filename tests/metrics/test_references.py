from pipelines.metrics.references import read_references


def test_blank_lines_of_later_references_are_none(tmp_path):
    path, other = tmp_path / "ref", tmp_path / "other"
    for each in (path, other):
        each.write_bytes(b"a\n\n \n")
    assert read_references([path, other]) == [["a", "", " "], ["a", None, None]]
    assert read_references([]) == []
