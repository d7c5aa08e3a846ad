"""Letters to phonemes through all stages: a tokenizer for each side."""

import json
import random

from tests.cli.conftest import init_arguments

SOUNDS = {"c": "K", "a": "AE", "t": "T", "b": "B", "e": "EH"}
SETTINGS = (
    "preprocess.tokenizer=characters",
    "preprocess.target_tokenizer=none",
    "train.max_steps=60",
    "train.valid_bleu=true",
)


def write_words(folder):
    generator = random.Random(1)
    folder.mkdir()
    for split, count in (("train", 60), ("valid", 8), ("test", 8)):
        words = [generator.choices("cateb", k=4) for _ in range(count)]
        sides = {
            "xx": ["".join(word) for word in words],
            "yy": [" ".join(SOUNDS[letter] for letter in word) for word in words],
        }
        for side, lines in sides.items():
            (folder / f"{split}.{side}").write_text("\n".join(lines) + "\n")
    return folder


def test_letters_become_phonemes(s2s, tmp_path):
    data, demo = write_words(tmp_path / "data"), tmp_path / "demo"
    assert s2s(*init_arguments(data, demo, *SETTINGS)).status == 0
    found = s2s("run", "-d", demo)
    assert found.status == 0
    assert "WARNING" not in found.err  # of Moses' rules for yy, for one
    output = s2s("translate", "-q", "-d", demo, stdin=b"cab\n").lines[0]
    assert {*output.split()} & {*SOUNDS.values()} == {*output.split()} != set()
    tokens = (demo / "translate" / "test" / "tokens.txt").read_text()
    assert tokens == (demo / "translate" / "test" / "output.txt").read_text()
    report = json.loads((demo / "score" / "report.json").read_text())
    assert report["num_ref_tokens"] == 8 * 4
    assert s2s("run", "-d", demo).err.count("running it") == 0
    shown = s2s("score", "-d", demo)
    assert "words between spaces" in shown.out + shown.err  # the target side's


def test_scoring_tokenized_text_needs_no_rules_of_moses(s2s, tmp_path):
    data, demo = write_words(tmp_path / "data"), tmp_path / "demo"
    settings = ("preprocess.tokenizer=characters", "train.max_steps=3")
    assert s2s(*init_arguments(data, demo, *settings)).status == 0
    found = s2s("score", "-d", demo)
    assert found.status == 0
    assert "Moses" not in found.err
    assert "the target side looks tokenized already" in found.err


def test_contradicting_settings_are_one_clear_error(s2s, tmp_path):
    data, demo = write_words(tmp_path / "data"), tmp_path / "demo"
    assert s2s(*init_arguments(data, demo, *SETTINGS)).status == 0
    wrong = "preprocess.source_sentencepiece=x.model"
    found = s2s("preprocess", "-d", demo, "--set", wrong)
    assert found.status == 2
    assert "the source side's tokenizer is characters" in found.err
