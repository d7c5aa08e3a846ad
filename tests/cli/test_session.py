import json
import shutil

import pytest

from tests.cli.conftest import init_arguments, write_corpus

pytestmark = pytest.mark.slow


def states(result):
    return {entry["stage"]: entry["state"] for entry in json.loads(result.out)}


def test_the_stages_in_order_are_a_session(s2s, tmp_path):
    data, demo = write_corpus(tmp_path / "data"), tmp_path / "demo"
    assert s2s(*init_arguments(data, demo)).out == f"{demo / 's2s.toml'}\n"
    for stage in ("preprocess", "binarize", "train"):
        assert s2s(stage, "-d", demo).status == 0
    found = s2s("translate", "-d", demo, stdin=b"a b\nf\n")
    assert found.lines == ["A B", "F"]
    assert s2s("translate", "-d", demo, "--split", "test").out == ""
    scores = json.loads(s2s("score", "-d", demo, "--json").out)
    values = {m["name"]: m["value"] for m in scores["metrics"]}
    assert values["exact_match"] >= 90
    assert scores["perplexity"] < 1.5
    assert set(states(s2s("status", "-d", demo, "--json")).values()) == {"fresh"}


def test_missing_stages_are_run_first_and_logged(s2s, tmp_path):
    data, demo = write_corpus(tmp_path / "data"), tmp_path / "demo"
    s2s(*init_arguments(data, demo))
    found = s2s("translate", "-d", demo, "--split", "test")
    assert found.status == 0
    for stage in ("preprocess", "binarize", "train", "translate"):
        assert f"{stage}: missing, running it" in found.err
    assert "train: 800 updates in all, 16 epochs of 400 pairs" in found.err


def test_a_second_run_does_nothing(s2s, project):
    before = {p: p.stat().st_mtime_ns for p in project.rglob("*") if p.is_file()}
    found = s2s("run", "-d", project)
    assert found.status == 0
    assert "up to date" in found.err
    after = {p: p.stat().st_mtime_ns for p in project.rglob("*") if p.is_file()}
    assert before == after


def test_a_changed_learning_rate_makes_training_and_what_follows_stale(s2s, project):
    text = (project / "s2s.toml").read_text()
    assert "learning_rate = 0.01" in text
    (project / "s2s.toml").write_text(
        text.replace("learning_rate = 0.01", "learning_rate = 0.02")
    )
    found = states(s2s("status", "-d", project, "--json"))
    assert found == {
        "preprocess": "fresh",
        "binarize": "fresh",
        "train": "stale",
        "translate": "stale",
        "score": "stale",
    }
    shown = s2s("status", "-d", project).out
    assert "train.learning_rate: 0.01 -> 0.02" in shown
    assert s2s("run", "-d", project).status == 2  # the user decides
    log = s2s("train", "--fork", "-d", project, "--set", "train.max_epochs=17").err
    assert "train: stale" in log
    assert "preprocess: " not in log
    assert list(project.glob("train.aside-*"))  # the earlier model is kept
    (project / "s2s.toml").write_text(text)
    log = s2s("run", "-d", project).err
    assert "resuming train.aside-" in log
    assert set(states(s2s("status", "-d", project, "--json")).values()) == {"fresh"}


def test_force_trains_afresh_and_keeps_the_earlier_model(s2s, project):
    before = (project / "train" / "best.json").read_bytes()
    log = s2s("train", "-d", project, "--force").err
    assert "kept as train.kept-" in log
    assert (project / "train" / "best.json").read_bytes() == before  # seeded


def test_force_resumes_no_training_moved_aside(s2s, project):
    other = ("--set", "train.learning_rate=0.02", "--set", "train.max_epochs=16.1")
    s2s("train", "-d", project, "--fork", *other)
    assert list(project.glob("train.aside-*"))
    log = s2s("train", "-d", project, "--force").err
    assert "resuming from step" not in log
    assert len(list(project.glob("train.kept-*"))) == 2


def test_a_copied_checkpoint_translates_by_itself(s2s, project, tmp_path):
    checkpoint = next((project / "train" / "checkpoints").glob("step-*"))
    shutil.copytree(checkpoint, tmp_path / "elsewhere")
    shutil.rmtree(project)
    model = ["--model", tmp_path / "elsewhere"]
    alone = s2s("translate", "-d", tmp_path, *model, stdin=b"a\n\nb c\n")
    assert alone.lines == ["A", "", "B C"]
    twice = s2s("translate", "-d", tmp_path, *model, *model, stdin=b"a\n\nb c\n")
    assert twice.out == alone.out  # an ensemble of a model with itself is the model


def test_input_and_output_files(s2s, project, tmp_path):
    (tmp_path / "in").write_bytes(b"a b\r\n\nc")
    s2s("translate", "-d", project, "-i", tmp_path / "in", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"A B\n\nC\n"


def test_nbest_list_is_moses_and_sorted(s2s, project):
    found = s2s("translate", "-d", project, "--nbest", 3, stdin=b"a b\n\nc\n")
    rows = [line.split(" ||| ") for line in found.lines]
    assert {row[0] for row in rows} == {"0", "2"}
    assert rows[0][1] == "A B"
    assert all(row[2].startswith("LSTM= -") for row in rows)
    first = [float(row[3]) for row in rows if row[0] == "0"]
    assert len(first) == 3
    assert first == sorted(first, reverse=True)


def test_batch_size_and_order_never_change_a_translation(s2s, project):
    text = (
        project.parent / "project" / "translate" / "test" / "output.txt"
    ).read_text()
    source = "".join(f"{line.lower()}\n" for line in text.split("\n")[:-1]).encode()
    outputs = {
        s2s(
            "translate",
            "-d",
            project,
            "--set",
            f"translate.batch_size={n}",
            stdin=source,
        ).out
        for n in (1, 7, 64)
    }
    assert len(outputs) == 1


def artifacts(project):
    return sorted(
        str(p.relative_to(project))
        for stage in ("preprocess", "binarize", "train", "translate", "score")
        for p in (project / stage).rglob("*")
        if p.is_file() and p.stat().st_size
    )


def test_verify_finds_a_flipped_byte_in_any_artifact(s2s, project):
    assert s2s("verify", "-d", project).status == 0
    names = artifacts(project)
    assert len(names) > 25
    for name in names:
        path = project / name
        data = path.read_bytes()
        position = len(data) // 2
        path.write_bytes(
            data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        )
        found = s2s("verify", "-d", project)
        assert found.status == 3, name
        assert name in found.out
        path.write_bytes(data)
    assert s2s("verify", "-d", project).status == 0


def test_verify_finds_a_missing_and_a_truncated_file(s2s, project):
    shard = project / "binarize" / "train.00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-10])
    (project / "train" / "latest.json").unlink()
    found = s2s("verify", "-d", project)
    assert found.status == 3
    assert "train.00000.safetensors has" in found.out
    assert "latest.json is missing" in found.out


def test_score_takes_any_file_without_a_project(s2s, tmp_path):
    (tmp_path / "ref").write_text("a b c d\ne f g h\n")
    same = s2s(
        "score", "-d", tmp_path, "--ref", tmp_path / "ref", stdin=b"a b c d\ne f g h\n"
    )
    assert same.status == 0
    assert "100.00" in same.out
    assert "tok:13a" in same.out
    assert "tok:none" in same.out
    unequal = s2s("score", "-d", tmp_path, "--ref", tmp_path / "ref", stdin=b"a\n")
    assert unequal.status == 2
    assert "has 1 line," in unequal.err
    assert "has 2" in unequal.err


def test_config_show_prints_value_origin_and_meaning(s2s, project):
    found = s2s("config", "show", "-d", project, "--set", "train.seed=5")
    assert "[preprocess]" in found.out
    assert "seed = 5" in found.out
    assert "(--set)" in found.out
    one = s2s("config", "show", "train.seed", "-d", project, "--json")
    assert json.loads(one.out)["train.seed"]["value"] == 1
    unknown = s2s("config", "show", "train.sed", "-d", project)
    assert unknown.status == 2
    assert "train.seed" in unknown.err


def test_validation_bleu_can_choose_the_best_checkpoint(s2s, tmp_path):
    data, demo = write_corpus(tmp_path / "data"), tmp_path / "demo"
    settings = ("train.valid_bleu=true", "train.best_by=bleu", "train.max_epochs=2")
    s2s(*init_arguments(data, demo, *settings, "train.validate_every_epochs=1"))
    found = s2s("train", "-d", demo)
    assert found.status == 0
    assert "BLEU" in found.err
    lines = (demo / "train" / "metrics.jsonl").read_text().splitlines()
    valid = [json.loads(x) for x in lines if '"valid"' in x]
    assert len(valid) == 2
    assert all(0 <= entry["bleu"] <= 100 for entry in valid)


def test_logs_are_json_when_asked(s2s, tmp_path):
    data, demo = write_corpus(tmp_path / "data"), tmp_path / "demo"
    s2s(*init_arguments(data, demo))
    found = s2s("preprocess", "-d", demo, "--log-format", "json")
    entries = [json.loads(line) for line in found.err.splitlines()]
    assert {"time", "level", "message"} <= set(entries[0])
    (data / "train.xx").write_text("a\n")
    failed = s2s("preprocess", "-d", demo, "--log-format", "json")
    assert json.loads(failed.err.splitlines()[-1])["level"] == "ERROR"


@pytest.mark.parametrize("tokenizer", ["sentencepiece", "characters", "moses"])
def test_every_tokenizer_goes_through_all_stages(s2s, tmp_path, tokenizer):
    data, demo = write_corpus(tmp_path / "data"), tmp_path / "demo"
    settings = (
        f"preprocess.tokenizer={tokenizer}",
        "preprocess.sentencepiece_vocab_size=30",
        "train.max_steps=3",
    )
    s2s(*init_arguments(data, demo, *settings))
    scores = json.loads(s2s("score", "-q", "--json", "-d", demo).out)
    assert len(scores["metrics"]) == 6
    assert len(s2s("translate", "-q", "-d", demo, stdin=b"a b\n\n").lines) == 2


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_papers_parts_go_through_all_stages(s2s, tmp_path, optimizer):
    data, demo = write_corpus(tmp_path / "data"), tmp_path / "demo"
    settings = (
        "model.layers=4",
        "model.cells=8",
        "model.peepholes=true",
        f"train.optimizer={optimizer}",
        "train.schedule=halving",
        "train.loss_per=sentence",
        "train.ema_decay=0.0",
        "train.max_steps=3",
        "translate.search=paper",
        "translate.unk=allow",
    )
    s2s(*init_arguments(data, demo, *settings))
    assert s2s("score", "-q", "-d", demo).status == 0
