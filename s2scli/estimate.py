"""The plan of a training, as `s2s train --dry-run` and `s2s init` show it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipelines.errors import S2SError, UsageError
from s2scli.console import print_json, print_table, shows_tables, stderr
from s2scli.options import Project, Request

if TYPE_CHECKING:
    from pipelines.estimate.figures import Disk, Epoch, Estimate, Memory, Parameters

log = logging.getLogger("pipelines.estimate")

_MB = 1e6
_READ_AT_INIT_BYTES = 64 << 20


class Block(NamedTuple):
    """A table of the plan, and what is to be said below it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def show_plan(
    project: Project, *, dry_run: bool, as_json: bool, others: Mapping[str, bool]
) -> None:
    """Print what training will take, with a short trial of its speed.

    Args:
        project: Whose training.
        dry_run: Whether --dry-run is given.
        as_json: Whether --json is.
        others: Options that only a training can follow, and whether they are given.

    Raises:
        UsageError: The options do not go together.
    """
    if not dry_run:
        raise UsageError("--json prints the plan of --dry-run, which is not given")
    given = " ".join(name for name, is_given in others.items() if is_given)
    if given:
        raise UsageError(
            f"{given}: no meaning with --dry-run, which starts nothing and tells of "
            "a training by one process"
        )
    from pipelines.estimate.training import estimate

    found = estimate(project.config, project.layout)
    if as_json:
        print_json(asdict(found))
        return
    for number, block in enumerate(plan_blocks(found)):
        print_table(block.columns, block.rows, notes=block.notes, apart=number > 0)


def show_plan_of_new_project(folder: Path) -> None:
    """Show a new project's plan on standard error, untimed.

    Standard output holds the path of `s2s.toml` alone, which scripts read. A machine
    that cannot train the project can make it all the same.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    from pipelines.estimate.training import quick_estimate

    try:
        project = Request(folder, ()).project()
        found = quick_estimate(
            project.config, project.layout, most_bytes=_READ_AT_INIT_BYTES
        )
    except S2SError as error:
        log.warning("no plan of the training: %s", error.message)
        return
    if not shows_tables():
        log.info(
            "%d parameters without biases, %d in all; s2s train --dry-run tells more",
            found.parameters.without_biases,
            found.parameters.total,
        )
        return
    for block in plan_blocks(found):
        print_table(block.columns, block.rows, notes=block.notes, apart=True, to=stderr)


def plan_blocks(found: "Estimate") -> list[Block]:
    """Everything a plan says, in order."""
    return [
        _parameters(found.parameters, found.epoch),
        _epoch(found.epoch),
        _learning_rates(found),
        _memory(found.memory, found),
        _disk(found.disk),
        _time(found),
    ]


def _parameters(found: "Parameters", epoch: "Epoch") -> Block:
    sizes = f"{found.source_vocabulary:,} and {found.target_vocabulary:,}"
    parts = (
        ("source embeddings", found.source_embeddings),
        ("target embeddings", found.target_embeddings),
        ("recurrent, encoder", found.encoder),
        ("recurrent, decoder", found.decoder),
        ("output (softmax)", found.output),
        ("projection", found.projection),
        ("without biases", found.without_biases),
        ("  of these recurrent", found.recurrent),
        ("peepholes", found.peepholes),
        ("biases", found.biases),
        ("all", found.total),
    )
    rows = [(name, f"{number:,}") for name, number in parts if number]
    at_most = "" if epoch.basis == "shards" else "at most "
    notes = [f"vocabularies of {at_most}{sizes} entries, 3 special symbols in each"]
    if not found.output:
        notes.append("the softmax shares the target embeddings")
    return Block(("parameters", "number"), rows, notes)


def _epoch(found: "Epoch") -> Block:
    about = "about " if found.basis == "text" else ""
    rows = [
        (f"{about}training pairs", f"{found.pairs:,}"),
        (f"{about}words an epoch", f"{found.words:,}"),
        (f"{about}updates an epoch", f"{found.updates:,}"),
        (f"updates in all, {found.epochs:g} epochs", f"{found.total_updates:,}"),
    ]
    notes = ["words: source and target tokens, with an end of sentence for each"]
    if found.basis == "text":
        notes.insert(0, f"counted in the text, not yet preprocessed: {found.reason}")
    if found.basis == "nothing":
        half = -(-found.updates // 2)
        notes = [
            f"not known yet: {found.reason}",
            "example, the paper's figures: 12,000,000 pairs, 304M and 348M words;",
            f"half an epoch is {half:,} updates",
            *notes,
        ]
    head = "data" if found.basis != "nothing" else "data (the paper's, as an example)"
    return Block((head, "number"), rows, notes)


def _learning_rates(found: "Estimate") -> Block:
    lowest = min(change.learning_rate for change in found.rate_changes)
    places = 6 if lowest >= 1e-4 else 10
    rows = [
        (
            f"{change.after_updates:,}",
            f"{change.epoch:.2f}",
            f"{change.learning_rate:.{places}f}",
        )
        for change in found.rate_changes
    ]
    notes = [f"schedule {found.schedule}; each rate holds from there on"]
    if found.schedule == "halving":
        notes.append(
            "the paper's can be read to begin at 5.0 or at 5.5 epochs: "
            "halve_after_epochs"
        )
    else:
        notes = [f"schedule {found.schedule}; between these it changes at every update"]
        if found.schedule == "constant":
            notes = ["schedule constant"]
    return Block(("after updates", "epoch", "learning rate"), rows, notes)


def _memory(found: "Memory", whole: "Estimate") -> Block:
    parts = (
        ("weights", found.weights_bytes),
        ("gradients", found.gradients_bytes),
        ("optimizer state", found.optimizer_bytes),
        ("averaged weights", found.average_bytes),
        ("activations", found.activations_bytes),
        ("logits of a chunk", found.logits_bytes),
        ("copies of weights", found.copies_bytes),
        ("work space of a layer", found.workspace_bytes),
        ("all", found.total_bytes),
    )
    rows = [(name, f"{number / _MB:,.1f}") for name, number in parts if number]
    free = "unknown" if found.free_bytes is None else f"{found.free_bytes / _MB:,.1f}"
    rows.append(("free now", free))
    notes = [
        f"on {whole.device}, in {whole.precision}",
        _about_batch(found, whole),
        "torch and its libraries take a few hundred MB besides",
    ]
    if not found.fits:
        notes.append("MORE THAN IS FREE: lower train.max_batch_tokens or the sizes")
    return Block(("memory", "MB"), rows, notes)


def _about_batch(found: "Memory", whole: "Estimate") -> str:
    largest = "the largest batch" if whole.epoch.basis != "nothing" else "a batch"
    return (
        f"{largest}: {found.batch_pairs:,} pairs, {found.batch_source_tokens:,} and "
        f"{found.batch_target_tokens:,} tokens"
    )


def _disk(found: "Disk") -> Block:
    rows = [
        ("one checkpoint", f"{found.checkpoint_bytes / _MB:,.1f}"),
        (f"{found.num_checkpoints} checkpoints", f"{found.total_bytes / _MB:,.1f}"),
        ("free now", f"{found.free_bytes / _MB:,.1f}"),
    ]
    notes = ["the most at one time: the last, the best, and the one being written"]
    if found.total_bytes > found.free_bytes:
        notes.append("MORE THAN IS FREE: lower train.keep_last")
    return Block(("disk", "MB"), rows, notes)


def _time(found: "Estimate") -> Block:
    speed = found.speed
    if speed is None:
        return Block(("time", ""), [("not timed", found.no_speed)])
    rows = [
        ("words a second", f"{speed.words_per_s:,.0f}"),
        ("seconds an update", f"{speed.update_s:.3g}"),
        ("hours in all", f"{speed.training_s / 3600:,.2f}"),
    ]
    notes = [
        f"timed: {speed.trial_updates} updates of up to {speed.trial_pairs} pairs, "
        f"{speed.trial_words:,} words; {speed.trial_s:.1f} s",
        "validations and checkpoints come on top",
    ]
    if found.epoch.basis == "nothing":
        notes.append("for the paper's data, as above")
    return Block(("time", "number"), rows, notes)
