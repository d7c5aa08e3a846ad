"""The tables and the summary of an estimate; no training is tried."""

import json
from dataclasses import replace

import pytest

from pipelines.artifacts.layout import Layout
from pipelines.config import load
from pipelines.estimate.training import Speed, quick_estimate
from pipelines.tools.init import run as make_project
from s2scli.estimate import _json, estimate_tables, summary_lines


@pytest.fixture
def estimate_of(tmp_path):
    def estimate(recipe="paper", **values):
        settings = {name.replace("__", "."): value for name, value in values.items()}
        make_project(tmp_path, recipe, settings, force=False)
        project = load(tmp_path).config, Layout(tmp_path)
        return quick_estimate(*project, most_bytes=1 << 30)

    return estimate


@pytest.fixture
def paper(estimate_of):
    return estimate_of()


def rows_of(estimate):
    rows = [row for table in estimate_tables(estimate) for row in table.rows]
    return {row[0]: row[1] for row in rows}


def notes_of(estimate):
    return [note for table in estimate_tables(estimate) for note in table.notes]


def test_the_tables_show_the_papers_numbers(paper):
    text = "\n".join(str(table) for table in estimate_tables(paper))
    for number in ("384,000,000", "64,000,000", "384,136,000", "46,875"):
        assert number in text
    assert "not known yet" in text


@pytest.mark.parametrize(
    ("words", "updates", "note"),
    [
        (0, 0, "not known: s2s train --dry-run measures it"),
        (40, 1, "from one update of up to 40 tokens, so rather too high"),
        (40, 2, "from updates of up to 40 tokens"),
    ],
)
def test_a_note_says_how_activations_were_measured(paper, words, updates, note):
    measured = {"measured_words": words, "measured_updates": updates}
    estimate = replace(paper, memory=replace(paper.memory, **measured))
    assert len([found for found in notes_of(estimate) if found.endswith(note)]) == 1


def test_a_count_of_one_has_a_singular_noun(estimate_of):
    estimate = estimate_of(train__max_epochs=1)
    estimate = replace(estimate, disk=replace(estimate.disk, num_checkpoints=1))
    assert {"updates in all, 1 epoch", "1 checkpoint"} <= set(rows_of(estimate))


def test_too_little_memory_or_disk_is_shown_in_both_forms(paper):
    scarce = replace(
        paper,
        memory=replace(paper.memory, free_bytes=1000),
        disk=replace(paper.disk, free_bytes=1000),
    )
    too_much = [note for note in notes_of(scarce) if note.startswith("MORE THAN IS F")]
    assert [note.partition(": ")[2] for note in too_much] == [
        "lower train.max_batch_tokens or the sizes",
        "lower train.keep_last",
    ]
    line = summary_lines(scarce)[-1]
    assert "activations, MORE THAN IS FREE; disk: " in line
    assert line.endswith("checkpoints, MORE THAN IS FREE")


def test_the_summary_names_parameters_length_and_memory(estimate_of):
    parameters, training, memory = summary_lines(estimate_of("numbers"))
    assert "655,360 of them recurrent" in parameters
    assert training == (
        "training: about 12,000 pairs, 3,760 updates in 20 epochs; "
        "s2s train --dry-run measures its speed"
    )
    assert memory.startswith("memory: ")


@pytest.mark.parametrize(
    ("schedule", "note"),
    [
        ("constant", "schedule constant"),
        ("halving", "schedule halving; each rate holds from there on"),
        ("cosine", "schedule cosine; between these it changes at every update"),
    ],
)
def test_the_learning_rates_are_explained_by_their_schedule(
    estimate_of, schedule, note
):
    assert note in notes_of(estimate_of(train__schedule=schedule))


def test_speed_becomes_hours_and_processes_share_it(paper):
    assert rows_of(paper)["not timed"] == "s2s train --dry-run measures it"
    speed = Speed(
        trial_updates=3,
        trial_pairs=128,
        trial_s=1.5,
        words_per_s=1234.0,
        update_s=0.5,
        training_s=7200.0,
    )
    timed = replace(paper, speed=speed, processes=2)
    rows = rows_of(timed)
    assert rows["words a second"] == "1,234"
    assert rows["hours in all"] == "2.00"
    assert any(note.endswith("of each of 2 processes") for note in notes_of(timed))


def test_json_has_the_sums_that_the_tables_show(paper):
    values = json.loads(json.dumps(_json(paper)))
    assert values["parameters"]["total"] == paper.parameters.total
    assert values["parameters"]["recurrent"] == paper.parameters.recurrent
    assert values["memory"]["total_bytes"] == paper.memory.total_bytes
