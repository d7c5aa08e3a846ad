from pipelines.metrics.references import (
    alternatives,
    num_references,
    read_references,
)


def test_blank_lines_of_later_references_are_none(tmp_path):
    path, other = tmp_path / "ref", tmp_path / "other"
    for file in (path, other):
        file.write_bytes(b"a\n\n \n")
    assert read_references([path, other]) == [["a", "", " "], ["a", None, None]]
    assert read_references([]) == []


def test_the_alternatives_of_a_line_leave_out_none():
    lines = alternatives([["a", ""], ["b", None]])
    assert lines == [["a", "b"], [""]]
    assert num_references(lines) == "var"
    assert num_references(alternatives([["a"], ["b"]])) == "2"
