"""The estimate of a training: tables for `s2s train`, lines for `s2s init`."""

from collections.abc import Sequence
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.wording import plural
from s2scli.console import print_json, print_table
from s2scli.options import Project

if TYPE_CHECKING:
    from pipelines.estimate.training import Estimate

_MB = 1e6


class Table(NamedTuple):
    """A table with notes to print below it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def show_estimate(project: Project, *, num_gpus: int, as_json: bool) -> None:
    """Print the estimate of a training; a short trial measures memory and speed.

    Args:
        project: The project to train.
        num_gpus: Number of processes that would share each batch.
        as_json: Print JSON instead of tables.
    """
    from pipelines.estimate.training import estimate

    estimated = estimate(project.config, project.layout, processes=num_gpus)
    if as_json:
        print_json(_json(estimated))
        return
    for index, (columns, rows, notes) in enumerate(estimate_tables(estimated)):
        print_table(columns, rows, notes=notes, blank_line_first=index > 0)


def summary_lines(estimate: "Estimate") -> list[str]:
    """Summarize the parameters, length, memory and disk space of a training."""
    counted, epoch = estimate.parameters, estimate.epoch
    memory, disk = estimate.memory, estimate.disk
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


def estimate_tables(estimate: "Estimate") -> list[Table]:
    """Lay out an estimate as tables: parameters, data, rates, memory, disk and time."""
    sections = _parameters, _epoch, _learning_rates, _memory, _disk, _time
    return [section(estimate) for section in sections]


def _json(estimate: "Estimate") -> dict[str, Any]:
    """Return every field of the estimate, and the sums that the tables show."""
    values = asdict(estimate)
    for name in ("recurrent", "without_biases", "total"):
        values["parameters"][name] = getattr(estimate.parameters, name)
    values["memory"]["total_bytes"] = estimate.memory.total_bytes
    return values


def _parameters(estimate: "Estimate") -> Table:
    counted = estimate.parameters
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
    at_most = "" if estimate.epoch.basis == "shards" else "at most "
    sizes = " and ".join(f"{size:,}" for size in estimate.vocab_sizes)
    notes = [f"vocabularies of {at_most}{sizes} entries, 3 special symbols in each"]
    if not counted.output:
        notes.append("the softmax shares the target embeddings")
    rows = [(name, f"{number:,}") for name, number in parts.items() if number]
    return Table(("parameters", "number"), rows, notes)


def _epoch(estimate: "Estimate") -> Table:
    epoch = estimate.epoch
    about = "about " if epoch.basis == "text" else ""
    epochs = plural(epoch.epochs, "epoch")
    rows = [
        (f"{about}training pairs", f"{epoch.pairs:,}"),
        (f"{about}words an epoch", f"{epoch.words:,}"),
        (f"{about}updates an epoch", f"{epoch.updates:,}"),
        (f"updates in all, {epochs}", f"{epoch.total_updates:,}"),
    ]
    notes = ["words: source and target tokens, with an end of sentence for each"]
    if epoch.basis == "text":
        notes.insert(0, f"counted in the text, not yet preprocessed: {epoch.reason}")
    if epoch.basis == "nothing":
        notes = [
            f"not known yet: {epoch.reason}",
            "example, the paper's figures: 12,000,000 pairs, 304M and 348M words;",
            f"half an epoch is {plural(-(-epoch.updates // 2), 'update')}",
            *notes,
        ]
    head = "data" if epoch.basis != "nothing" else "data (the paper's, as an example)"
    return Table((head, "number"), rows, notes)


def _learning_rates(estimate: "Estimate") -> Table:
    changes = estimate.rate_changes
    places = 6 if min(change.learning_rate for change in changes) >= 1e-4 else 10
    rows = [
        (f"{step:,}", f"{epoch:.2f}", f"{rate:.{places}f}")
        for step, epoch, rate in map(astuple, changes)
    ]
    notes = [f"schedule {estimate.schedule}"]
    if estimate.schedule == "halving":
        notes[0] += "; each rate holds from there on"
        notes.append(
            "the paper's can be read to begin at 5.0 or at 5.5 epochs: "
            "halve_after_epochs"
        )
    elif estimate.schedule != "constant":
        notes[0] += "; between these it changes at every update"
    return Table(("after updates", "epoch", "learning rate"), rows, notes)


def _memory(estimate: "Estimate") -> Table:
    memory = estimate.memory
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
    largest = "a batch" if estimate.epoch.basis == "nothing" else "the largest batch"
    notes = [
        f"on {estimate.device}, in {estimate.precision}{_for_each_process(estimate)}",
        f"{largest}: {plural(memory.batch_pairs, 'pair')}, "
        f"{memory.batch_source_tokens:,} source and "
        f"{plural(memory.batch_target_tokens, 'target token')}",
    ]
    if not memory.measured_words:
        notes.append(f"activations and workspace not known: {estimate.not_measured}")
    elif memory.measured_words < memory.batch_words:
        rough = memory.measured_updates == 1
        notes.append(
            "activations and workspace extrapolated from "
            f"{'one update' if rough else 'updates'} of up to "
            + plural(memory.measured_words, "token")
            + (", so rather too high" if rough else "")
        )
    notes.append("torch and its libraries take a few hundred MB besides")
    if estimate.device.startswith("CPU"):
        notes.append("a CPU's heap has gaps, which take up to a third more")
    if not memory.fits:
        notes.append("MORE THAN IS FREE: lower train.max_batch_tokens or the sizes")
    return Table(("memory", "MB"), rows, notes)


def _for_each_process(estimate: "Estimate") -> str:
    many = estimate.processes > 1
    return f", of each of {estimate.processes} processes" if many else ""


def _disk(estimate: "Estimate") -> Table:
    disk = estimate.disk
    rows = [
        ("one checkpoint", _mb(disk.checkpoint_bytes)),
        (plural(disk.num_checkpoints, "checkpoint"), _mb(disk.total_bytes)),
        ("free now", _mb(disk.free_bytes)),
    ]
    notes = ["the most at one time: the last, the best, and the one being written"]
    if disk.total_bytes > disk.free_bytes:
        notes.append("MORE THAN IS FREE: lower train.keep_last")
    return Table(("disk", "MB"), rows, notes)


def _time(estimate: "Estimate") -> Table:
    speed = estimate.speed
    if speed is None:
        return Table(("time", ""), [("not timed", estimate.not_measured)])
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
    if estimate.processes > 1:
        notes.append(
            f"by {estimate.processes} processes, each with its share of every batch; "
            "the exchange of gradients comes on top"
        )
    if estimate.epoch.basis == "nothing":
        notes.append("for the paper's data, as above")
    return Table(("time", "number"), rows, notes)


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / _MB:,.1f}"
