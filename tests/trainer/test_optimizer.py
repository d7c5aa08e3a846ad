import numpy as np
import pytest
import torch
from torch import nn

from pipelines.config import TrainConfig
from pipelines.trainer.optimizer import (
    WeightAverage,
    build_optimizer,
    clip_and_step,
    clip_gradients,
    prepare_state,
    state_tensors,
)


def parameter(*gradient):
    p = nn.Parameter(torch.zeros(len(gradient)))
    p.grad = torch.tensor(gradient)
    return p


def test_gradient_beyond_the_threshold_is_scaled_to_it():
    parameters = [parameter(6.0), parameter(0.0, 8.0)]
    assert clip_gradients(parameters, threshold=5.0).item() == pytest.approx(10.0)
    assert parameters[0].grad.tolist() == pytest.approx([3.0])
    assert parameters[1].grad.tolist() == pytest.approx([0.0, 4.0])


@pytest.mark.parametrize("threshold", [5.0, 0.0])
def test_gradient_within_the_threshold_or_without_one_stays(threshold):
    parameters = [parameter(3.0, 4.0)] if threshold else [parameter(30.0, 40.0)]
    before = parameters[0].grad.clone()
    clip_gradients(parameters, threshold=threshold)
    torch.testing.assert_close(parameters[0].grad, before)


def test_sgd_is_plain():
    p = parameter(1.0, -2.0)
    build_optimizer([p], TrainConfig(learning_rate=0.5)).step()
    assert p.tolist() == [-0.5, 1.0]


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adam_moves_by_the_learning_rate_at_first(kind):
    p = parameter(1.0, -2.0)
    config = TrainConfig(optimizer=kind, learning_rate=0.5)
    build_optimizer([p], config).step()
    assert p.tolist() == pytest.approx([-0.5, 0.5])


def sparse(rows, values, shape):
    return torch.sparse_coo_tensor(
        torch.tensor([rows]),
        torch.tensor(values),
        shape,
        is_coalesced=True,
        check_invariants=True,
    )


def test_norm_and_clipping_are_those_of_a_few_lines_of_numpy():
    generator = np.random.default_rng(1)
    one = generator.normal(size=4).astype(np.float32)
    rows = generator.normal(size=(2, 5)).astype(np.float32)
    norm = np.sqrt((one**2).sum() + (rows**2).sum())
    dense, table = parameter(*one.tolist()), nn.Parameter(torch.zeros(9, 5))
    table.grad = sparse([1, 7], rows, (9, 5))
    found = clip_gradients([dense, table], threshold=0.5)
    assert found.item() == pytest.approx(norm)
    np.testing.assert_allclose(dense.grad, 0.5 * one / norm, rtol=1e-5)
    np.testing.assert_allclose(table.grad.values(), 0.5 * rows / norm, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_a_sparse_gradient_does_what_the_same_dense_one_does(kind):
    config = TrainConfig(optimizer=kind, weight_decay=0.1)
    tables = [nn.Parameter(torch.ones(6, 2)) for _ in range(2)]
    optimizers = [build_optimizer([table], config) for table in tables]
    for rows in ([0, 4], [2, 4], [5, 5][:1]):
        gradient = sparse(rows, [[1.0, -2.0]] * len(rows), (6, 2))
        for table, optimizer in zip(tables, optimizers, strict=True):
            dense = table is tables[1]
            table.grad = gradient.to_dense() if dense else gradient.clone()
            clip_and_step(optimizer, [table], learning_rate=0.1, clip_norm=1.0)
            assert table.grad is None
    torch.testing.assert_close(*tables)


def test_sgd_touches_only_the_words_of_the_batch():
    table = nn.Parameter(torch.zeros(6, 2))
    table.grad = sparse([1, 4], [[1.0, 1.0]] * 2, (6, 2))
    optimizer = build_optimizer([table], TrainConfig())
    clip_and_step(optimizer, [table], learning_rate=0.5, clip_norm=0.0)
    assert table.abs().sum(1).tolist() == [0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_a_prepared_state_is_the_one_that_the_first_step_makes(kind):
    tables = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    stepped, prepared = (
        build_optimizer([t], TrainConfig(optimizer=kind)) for t in tables
    )
    tables[0].grad = torch.zeros(2)
    stepped.step()
    prepare_state(prepared)
    shapes = [
        [(t.shape, t.dtype) for t in state_tensors(o)] for o in (stepped, prepared)
    ]
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) == (0 if kind == "sgd" else 3)


def test_average_follows_and_swaps_back():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    average = WeightAverage(model, decay=0.5)
    nn.init.constant_(model.weight, 8.0)
    average.update(step=1000)
    assert average.tensors[0].item() == pytest.approx(4.0)
    average.swap()
    assert model.weight.item() == pytest.approx(4.0)
    average.swap()
    assert model.weight.item() == pytest.approx(8.0)


def test_average_forgets_its_start():
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, decay=0.999)
    nn.init.constant_(model.weight, 1.0)
    for step in range(1, 200):
        average.update(step)
    assert average.tensors[0].item() == pytest.approx(1.0, abs=1e-3)
