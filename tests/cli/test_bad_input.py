import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import init_arguments, write_corpus


@pytest.fixture
def fresh(s2s, tmp_path):
    """A project that has not run yet, and its text."""
    data = write_corpus(tmp_path / "data", (("train", 30), ("valid", 5), ("test", 5)))
    demo = tmp_path / "demo"
    assert s2s(*init_arguments(data, demo)).status == 0
    return demo, data


def append(path, data):
    path.write_bytes(path.read_bytes() + data)


@pytest.mark.parametrize(
    ("name", "content", "messages"),
    [
        ("train.yy", lambda old: old + b"X\n", ["has 30 lines", "has 31"]),
        ("train.xx", lambda old: b"", ["train.xx is empty"]),
        ("train.xx", lambda old: None, ["train.xx not found"]),
        ("valid.yy", lambda old: b"A\nB\n\xffC\nD\nE\n", ["valid.yy:3: not UTF-8"]),
    ],
)
def test_text_that_cannot_be_used_is_one_clear_error(
    s2s, fresh, name, content, messages
):
    demo, data = fresh
    path = data / name
    changed = content(path.read_bytes())
    path.unlink() if changed is None else path.write_bytes(changed)
    found = s2s("preprocess", "-d", demo)
    assert found.status == 2
    assert all(message in found.err for message in messages)
    assert [p.name for p in demo.iterdir() if p.name != ".s2s"] == ["s2s.toml"]


def test_odd_text_is_kept_or_dropped_and_counted(s2s, fresh):
    demo, data = fresh
    odd = "a\u2028b\na\x85b\na\x00b\n\n   \na b\r\n" + "a " * 100_000 + "\n"
    append(data / "train.xx", odd.encode())
    append(data / "train.yy", b"A B\nA B\nA B\nX\nX\nA B\r\nA\n")
    found = s2s("preprocess", "-d", demo)
    assert found.status == 0
    ledger = (demo / "preprocess" / "dropped.tsv").read_text().splitlines()
    assert len(ledger) == 1 + 3  # two blank, one too long
    assert "kept 34 of 37 pairs" in found.err


@pytest.mark.slow
def test_a_source_of_100000_words_is_cut_with_a_warning(s2s, project):
    found = s2s("translate", "-d", project, stdin=b"a b\n" + b"a " * 100_000 + b"\nc\n")
    assert found.status == 0
    assert len(found.lines) == 3
    assert (found.lines[0], found.lines[2]) == ("A B", "C")
    assert "1 line longer than 1000 tokens; cut" in found.err
    assert "line 2" in found.err


@pytest.mark.slow
def test_one_line_in_one_line_out_for_any_bytes(s2s, project):
    odd = [
        "a",
        "",
        " ",
        "\u2028",
        "a\u2028b",
        "\x85",
        "a\x0cb",
        "\x00",
        "\ufeff",
        "\u00a0",
        "漢字",
        "</s> a",
    ]
    lines = [*(text.encode() for text in odd), b"\xff\xfe a", b"b\r"]
    found = s2s("translate", "-d", project, stdin=b"\n".join(lines) + b"\n")
    assert found.status == 0
    assert len(found.lines) == len(lines)
    assert found.lines[0] == "A"
    assert found.lines[1:4] == ["", "", ""]
    assert found.lines[-1] == "B"
    assert "not UTF-8" in found.err
    assert "line 13" in found.err


@pytest.mark.slow
def test_no_input_gives_no_output(s2s, project):
    assert s2s("translate", "-d", project).out == ""


@pytest.mark.parametrize(
    ("arguments", "status", "messages"),
    [
        (["train"], 3, ["s2s.toml not found", "s2s init"]),
        (["translate", "--model", "nowhere"], 3, ["nowhere", "not a checkpoint"]),
        (["init", "--recipe", "big", "x"], 2, ["no recipe 'big'"]),
        (["init", "--train", "no.xx", "no.yy", "x"], 2, ["no.xx not found"]),
        (["score", "--ref", "no-such"], 2, ["no-such not found"]),
        (["run", "nonsense"], 2, ["nonsense is not a stage"]),
        (["translate", "--force"], 2, ["--force goes with --split"]),
        (["score", "--ref", "x", "--force"], 2, ["--force has no meaning"]),
        (["score", "-i", "x"], 2, ["x: no --ref to score it against"]),
        (["translate", "--split", "test", "-i", "x"], 2, ["leave out -i, -o"]),
        (["frobnicate"], 2, ["frobnicate is not a command", "s2s --help"]),
    ],
)
def test_mistakes_on_the_command_line(
    s2s, tmp_path, monkeypatch, arguments, status, messages
):
    monkeypatch.chdir(tmp_path)
    found = s2s(*arguments)
    assert found.status == status
    assert all(message in found.err for message in messages)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "--set", "train.lerning_rate=1"],
            "did you mean train.learning_rate?",
        ),
        (["train", "--device", "cuda:99"], "device cuda:99 asked for"),
        (
            [
                *("translate", "--set", "translate.min_length=3"),
                *("--set", "translate.max_length=2"),
            ],
            "min_length (3) exceeds max_length (2)",
        ),
        (["translate", "--split", "train"], "expected test or valid"),
        (
            ["preprocess", "--set", "preprocess.source_vocab_size=2"],
            "source_vocab_size",
        ),
    ],
)
def test_wrong_settings_are_refused_before_any_work(s2s, fresh, arguments, message):
    demo, _ = fresh
    found = s2s(*arguments, "-d", demo)
    assert found.status == 2
    assert message in " ".join(found.err.split())


def test_init_never_overwrites_a_project(s2s, fresh):
    demo, _ = fresh
    before = (demo / "s2s.toml").read_bytes()
    assert s2s("init", demo).status == 2
    assert (demo / "s2s.toml").read_bytes() == before


def test_without_a_test_split_score_says_what_to_do(s2s, fresh):
    demo, _ = fresh
    found = s2s("score", "-d", demo, "--set", "data.test=[]")
    assert found.status == 2
    assert "s2s score --ref" in found.err


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_clear_error(s2s, fresh):
    demo, _ = fresh
    demo.chmod(0o500)
    try:
        found = s2s("preprocess", "-d", demo)
    finally:
        demo.chmod(0o700)
    assert found.status == 1
    assert "Permission denied" in found.err


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "work in another folder"),
        (errno.EACCES, "check the permissions"),
    ],
)
@pytest.mark.parametrize("stage", ["preprocess", "binarize"])
def test_storage_that_fails_leaves_nothing_half_written(
    s2s, fresh, monkeypatch, stage, number, hint
):
    demo, _ = fresh
    if stage == "binarize":
        assert s2s("preprocess", "-d", demo).status == 0
    before = sorted(p.name for p in demo.iterdir())

    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"pipelines.{stage}.write_manifest", fail)
    found = s2s(stage, "-d", demo)
    assert found.status == 1
    assert f"{demo / stage}: {os.strerror(number)}" in found.err
    assert hint in found.err
    assert sorted({*before, ".s2s"}) == sorted(p.name for p in demo.iterdir())


@pytest.mark.slow
def test_a_terminated_training_saves_exits_143_and_resumes(fresh):
    demo, _ = fresh
    command = [sys.executable, "-m", "s2scli", "train", "-d", str(demo)]
    command += ["--set", "train.max_epochs=100000", "--set", "train.schedule=constant"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (demo / "train" / "latest.json").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "everything is saved" in err
    assert "Traceback" not in err
    assert not (demo / "train" / "manifest.json").exists()
    again = [*command, "--set", "train.max_steps=1"]
    done = subprocess.run(
        again, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0
    assert "resuming from step" in done.stderr


@pytest.mark.slow
def test_a_killed_preprocess_leaves_nothing_that_counts(s2s, fresh):
    demo, _ = fresh
    leftover = demo / "preprocess.tmp-999999999"
    leftover.mkdir()
    (leftover / "train.00000.src").write_text("half")
    assert s2s("preprocess", "-d", demo).status == 0
    assert not leftover.exists()


@pytest.mark.slow
def test_a_conversation_is_answered_line_by_line(project):
    command = [sys.executable, "-m", "s2scli", "translate", "-q", "-d", str(project)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line, answer in (("a b", "A B"), ("c", "C")):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == answer + "\n"
        process.stdin.close()
    assert process.returncode == 0
