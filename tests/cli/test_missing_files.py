"""The hint of a missing file: [data] is to blame only for what it names."""

import pytest


@pytest.mark.parametrize(
    "arguments",
    [
        ["translate", "-q", "-i", "no-file"],
        ["score", "--ref", "no-file"],
        ["score", "--ref", "no-file", "-i", "no-file"],
    ],
)
def test_a_file_of_the_command_line_has_nothing_to_do_with_the_settings(
    s2s, project, arguments
):
    found = s2s(*arguments, "-d", project)
    assert found.status == 2
    assert "no-file not found" in found.err
    assert "[data]" not in found.err


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["preprocess", "--force"], "test.xx"),
        (["translate", "--split", "test", "--force"], "test.xx"),
        (["score", "--force"], "test.yy"),
    ],
)
def test_a_file_of_the_settings_points_to_them(s2s, project, command, name):
    """Its text is gone: what was made of it stays up to date."""
    text = (project / "s2s.toml").read_text()
    gone = 'test = ["gone/test.xx", "gone/test.yy"]'
    lines = [gone if t.startswith("test =") else t for t in text.splitlines()]
    (project / "s2s.toml").write_text("\n".join(lines))
    found = s2s(*command, "-d", project)
    assert found.status == 2
    assert f"{name} not found" in found.err
    assert "hint: check [data] in s2s.toml" in found.err
