"""The estimate of a training: `s2s train --dry-run` shows all, `s2s init` a summary."""

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.errors import S2SError, UsageError
from pipelines.wording import plural
from s2scli.console import print_json, print_table, show_note
from s2scli.options import Project, Request

if TYPE_CHECKING:
    from pipelines.estimate.training import Estimate

log = logging.getLogger("pipelines.estimate")

_MB = 1e6
_READ_AT_INIT_BYTES = 64 << 20


class Table(NamedTuple):
    """A table, and notes to print below it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def show_estimate(
    project: Project,
    *,
    dry_run: bool,
    as_json: bool,
    num_gpus: int,
    others: Mapping[str, bool],
) -> None:
    """Print the cost of a training, with a short trial of its memory and its speed.

    Args:
        project: The project to train.
        dry_run: Whether --dry-run is given.
        as_json: Whether --json is given.
        num_gpus: Processes that would share each batch.
        others: Options that only a training can follow, and whether they are given.

    Raises:
        UsageError: The options do not go together.
    """
    if not dry_run:
        raise UsageError(
            "--json prints the estimate of --dry-run, which is not given",
            hint="s2s train --dry-run --json",
        )
    given = " ".join(name for name, is_given in others.items() if is_given)
    if given:
        raise UsageError(
            f"{given}: no meaning with --dry-run, which starts no training",
            hint="leave it out, or leave out --dry-run",
        )
    from pipelines.estimate.training import estimate

    found = estimate(project.config, project.layout, processes=num_gpus)
    if as_json:
        print_json(_json(found))
        return
    for number, (columns, rows, notes) in enumerate(_tables(found)):
        print_table(columns, rows, notes=notes, apart=number > 0)


def show_summary_of_new_project(folder: Path) -> None:
    """Print the cost of a new project's training on standard error, and what is next.

    A few lines, without a trial; --dry-run prints the whole. Standard output holds the
    path of `s2s.toml` alone, which scripts read. A project can be made on a machine
    that cannot train it.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    from pipelines.estimate.training import quick_estimate

    lines: list[str] = []
    try:
        project = Request(folder, ()).project()
        lines = [f"next: {_next_command(project)}"]
        found = quick_estimate(
            project.config, project.layout, most_bytes=_READ_AT_INIT_BYTES
        )
    except S2SError as error:
        log.warning("no estimate of the training: %s", error.message)
    else:
        lines = [*_summary(found), *lines]
    for line in lines:
        show_note(line)


def _summary(found: "Estimate") -> list[str]:
    """Parameters, length, memory and disk of a training, without its unknowns."""
    counted, epoch, memory, disk = (
        found.parameters,
        found.epoch,
        found.memory,
        found.disk,
    )
    about, most = ("", "") if epoch.basis == "shards" else ("about ", "at most ")
    data = f"unknown length, as {epoch.reason}"
    if epoch.basis != "nothing":
        data = (
            f"{about}{plural(epoch.pairs, 'pair')}, "
            f"{plural(epoch.total_updates, 'update')} in "
            f"{plural(epoch.epochs, 'epoch')}"
        )
    too_much = "" if memory.fits else ", MORE THAN IS FREE"
    too_large = "" if disk.total_bytes <= disk.free_bytes else ", MORE THAN IS FREE"
    return [
        f"parameters: {most}{counted.total:,}; {counted.without_biases:,} without "
        f"biases and peepholes, {counted.recurrent:,} of them recurrent",
        f"training: {data}; s2s train --dry-run measures its speed",
        f"memory: {_mb(memory.total_bytes)} MB and unknown activations{too_much}; "
        f"disk: {_mb(disk.total_bytes)} MB for "
        f"{plural(disk.num_checkpoints, 'checkpoint')}{too_large}",
    ]


def _next_command(project: Project) -> str:
    root, data = project.layout.root, project.config.data
    train = "s2s train"
    if root.resolve() != Path.cwd():
        train = f"cd {shlex.quote(str(root))}; {train}"
    missing = [
        name
        for name, pairs in (("data.train", data.train), ("data.valid", data.valid))
        if not pairs
    ]
    if missing:
        settings = project.layout.settings
        return f"set {' and '.join(missing)} in {settings}, then: {train}"
    return train


def _json(found: "Estimate") -> dict[str, Any]:
    """All fields, and the sums that people see."""
    values = asdict(found)
    for name in ("recurrent", "without_biases", "total"):
        values["parameters"][name] = getattr(found.parameters, name)
    values["memory"]["total_bytes"] = found.memory.total_bytes
    return values


def _tables(found: "Estimate") -> list[Table]:
    makers = _parameters, _epoch, _learning_rates, _memory, _disk, _time
    return [make(found) for make in makers]


def _parameters(found: "Estimate") -> Table:
    counted = found.parameters
    parts = {
        "source embeddings": counted.source_embedding,
        "target embeddings": counted.target_embedding,
        "recurrent, encoder": counted.encoder,
        "recurrent, decoder": counted.decoder,
        "output (softmax)": counted.output,
        "projection": counted.projection,
        "without biases": counted.without_biases,
        "  of these recurrent": counted.recurrent,
        "peepholes": counted.peephole,
        "biases": counted.bias,
        "all": counted.total,
    }
    at_most = "" if found.epoch.basis == "shards" else "at most "
    sizes = " and ".join(f"{size:,}" for size in found.vocab_sizes)
    notes = [f"vocabularies of {at_most}{sizes} entries, 3 special symbols in each"]
    if not counted.output:
        notes.append("the softmax shares the target embeddings")
    rows = [(name, f"{number:,}") for name, number in parts.items() if number]
    return Table(("parameters", "number"), rows, notes)


def _epoch(estimate: "Estimate") -> Table:
    found = estimate.epoch
    about = "about " if found.basis == "text" else ""
    epochs = plural(found.epochs, "epoch")
    rows = [
        (f"{about}training pairs", f"{found.pairs:,}"),
        (f"{about}words an epoch", f"{found.words:,}"),
        (f"{about}updates an epoch", f"{found.updates:,}"),
        (f"updates in all, {epochs}", f"{found.total_updates:,}"),
    ]
    notes = ["words: source and target tokens, with an end of sentence for each"]
    if found.basis == "text":
        notes.insert(0, f"counted in the text, not yet preprocessed: {found.reason}")
    if found.basis == "nothing":
        notes = [
            f"not known yet: {found.reason}",
            "example, the paper's figures: 12,000,000 pairs, 304M and 348M words;",
            f"half an epoch is {plural(-(-found.updates // 2), 'update')}",
            *notes,
        ]
    head = "data" if found.basis != "nothing" else "data (the paper's, as an example)"
    return Table((head, "number"), rows, notes)


def _learning_rates(found: "Estimate") -> Table:
    changes = found.rate_changes
    places = 6 if min(change.learning_rate for change in changes) >= 1e-4 else 10
    rows = [
        (f"{step:,}", f"{epoch:.2f}", f"{rate:.{places}f}")
        for step, epoch, rate in map(astuple, changes)
    ]
    notes = [f"schedule {found.schedule}"]
    if found.schedule == "halving":
        notes[0] += "; each rate holds from there on"
        notes.append(
            "the paper's can be read to begin at 5.0 or at 5.5 epochs: "
            "halve_after_epochs"
        )
    elif found.schedule != "constant":
        notes[0] += "; between these it changes at every update"
    return Table(("after updates", "epoch", "learning rate"), rows, notes)


def _memory(found: "Estimate") -> Table:
    memory = found.memory
    parts = {
        "weights": memory.weights_bytes,
        "gradients": memory.gradients_bytes,
        "optimizer state": memory.optimizer_bytes,
        "averaged weights": memory.average_bytes,
        "activations and workspace": memory.workspace_bytes,
    }
    known = "all" if memory.measured_words else "all of these"
    rows = [(name, _mb(number)) for name, number in parts.items() if number]
    rows.append((known, _mb(memory.total_bytes)))
    free = memory.free_bytes
    rows.append(("free now", "unknown" if free is None else _mb(free)))
    largest = "a batch" if found.epoch.basis == "nothing" else "the largest batch"
    notes = [
        f"on {found.device}, in {found.precision}{_each(found)}",
        f"{largest}: {plural(memory.batch_pairs, 'pair')}, "
        f"{memory.batch_source_tokens:,} source and "
        f"{plural(memory.batch_target_tokens, 'target token')}",
    ]
    if not memory.measured_words:
        notes.append(f"activations and workspace not known: {found.not_measured}")
    elif memory.measured_words < memory.batch_words:
        rough = memory.measured_updates == 1
        notes.append(
            "activations and workspace extrapolated from "
            f"{'one update' if rough else 'updates'} of up to "
            + plural(memory.measured_words, "token")
            + (", so rather too high" if rough else "")
        )
    notes.append("torch and its libraries take a few hundred MB besides")
    if found.device.startswith("CPU"):
        notes.append("a CPU's heap has gaps, which take up to a third more")
    if not memory.fits:
        notes.append("MORE THAN IS FREE: lower train.max_batch_tokens or the sizes")
    return Table(("memory", "MB"), rows, notes)


def _each(found: "Estimate") -> str:
    many = found.processes > 1
    return f", of each of {found.processes} processes" if many else ""


def _disk(found: "Estimate") -> Table:
    disk = found.disk
    rows = [
        ("one checkpoint", _mb(disk.checkpoint_bytes)),
        (plural(disk.num_checkpoints, "checkpoint"), _mb(disk.total_bytes)),
        ("free now", _mb(disk.free_bytes)),
    ]
    notes = ["the most at one time: the last, the best, and the one being written"]
    if disk.total_bytes > disk.free_bytes:
        notes.append("MORE THAN IS FREE: lower train.keep_last")
    return Table(("disk", "MB"), rows, notes)


def _time(found: "Estimate") -> Table:
    speed = found.speed
    if speed is None:
        return Table(("time", ""), [("not timed", found.not_measured)])
    rows = [
        ("words a second", f"{speed.words_per_s:,.0f}"),
        ("seconds an update", f"{speed.update_s:.3g}"),
        ("hours in all", f"{speed.training_s / 3600:,.2f}"),
    ]
    notes = [
        f"timed: {plural(speed.trial_updates, 'update')} of up to "
        f"{plural(speed.trial_pairs, 'pair')}, "
        f"{speed.trial_s:.1f} s",
        "validations and checkpoints come on top",
    ]
    if found.processes > 1:
        notes.append(
            f"by {found.processes} processes, each with its share of every batch; the "
            "exchange of gradients comes on top"
        )
    if found.epoch.basis == "nothing":
        notes.append("for the paper's data, as above")
    return Table(("time", "number"), rows, notes)


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / _MB:,.1f}"
