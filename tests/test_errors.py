import pickle

import pytest

from pipelines import errors
from pipelines.errors import DivergenceError, Interrupted, S2SError


def error_classes():
    classes = [v for v in vars(errors).values() if isinstance(v, type)]
    return [kind for kind in classes if issubclass(kind, S2SError)]


@pytest.mark.parametrize("kind", error_classes())
def test_errors_cross_process_boundaries_with_their_hints(kind):
    error = pickle.loads(pickle.dumps(kind("fact", hint="remedy")))
    assert type(error) is kind
    assert (error.message, error.hint, str(error)) == ("fact", "remedy", "fact")


def test_interrupted_keeps_its_signal():
    error = pickle.loads(pickle.dumps(Interrupted("x", signal_number=15)))
    assert error.exit_status == 143


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.UsageError, 2),
        (errors.ConfigError, 2),
        (errors.CorpusError, 2),
        (errors.MissingArtifactError, 3),
        (errors.CorruptArtifactError, 3),
        (errors.VersionError, 3),
        (errors.DivergenceError, 1),
        (errors.OutOfMemoryError, 1),
        (errors.PeerError, 1),
        (errors.BusyError, 1),
        (errors.Interrupted, 130),
    ],
)
def test_an_error_has_its_exit_status(kind, status):
    assert kind("x").exit_status == status


def test_a_divergence_keeps_the_pairs_of_its_batch():
    error = pickle.loads(pickle.dumps(DivergenceError("x", pair_ids=[3, 5])))
    assert error.pair_ids == (3, 5)


def test_the_tree_in_the_docstring_names_every_error():
    for kind in error_classes():
        assert kind.__name__ in (errors.__doc__ or "")
