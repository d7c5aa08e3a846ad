import torch

from pipelines.model.engine.lstm_steps import (
    LSTMSteps,
    SavedFactors,
    continuing_rows,
    previous_values,
    step_rows,
)
from tests.engines import MATMUL

SIZES = [3, 2, 2]


def test_rows_of_a_step_follow_those_of_the_step_before():
    assert list(step_rows(SIZES)) == [slice(0, 3), slice(3, 5), slice(5, 7)]


def test_sentences_continue_until_their_last_step():
    assert [n for _, n in continuing_rows(SIZES)] == [2, 2, 0]


def test_previous_values_are_those_of_the_same_sentence_one_step_earlier():
    values, initial = torch.arange(7.0)[:, None], torch.tensor([[-1.0], [-2.0], [-3.0]])
    previous = previous_values(values, initial, SIZES).flatten().tolist()
    assert previous == [-1, -2, -3, 0, 1, 3, 4]


def test_saved_factors_are_the_derivatives_of_cells_and_hidden_state():
    torch.manual_seed(1)
    cells, size = 4, 3
    a = torch.randn(size, 4 * cells).double().requires_grad_()
    c0 = torch.randn(size, cells).double().requires_grad_()
    i, f, g, o = a.chunk(4, dim=1)
    c = f.sigmoid() * c0 + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    dc_da, dc_dc = torch.autograd.grad(c.sum(), (a, c0), retain_graph=True)
    dh_do = torch.autograd.grad(h.sum(), a, retain_graph=True)[0][:, 3 * cells :]
    (dh_dc,) = torch.autograd.grad(h.sum(), c)
    factors = torch.cat([dc_da[:, : 3 * cells], dh_do], dim=1)

    saved = SavedFactors.allocate(size, c0.detach().float(), peepholes=False)
    LSTMSteps([size], None, MATMUL).forward(
        a.detach().float(),
        torch.zeros(size, cells),
        saved.c0_BH,
        torch.zeros(4 * cells, cells),
        saved,
    )
    assert saved.c_NH is None
    for actual, expected in (
        (saved.factors_NG, factors),
        (saved.dh_dc_NH, dh_dc),
        (saved.dc_dc_NH, dc_dc),
    ):
        torch.testing.assert_close(actual, expected.float())


def test_cells_are_saved_for_the_gradient_of_peepholes():
    gates, c0, peepholes = torch.randn(7, 8), torch.randn(3, 2), torch.randn(3, 2)
    saved = SavedFactors.allocate(7, c0, peepholes=True)
    _, last_c = LSTMSteps(SIZES, peepholes, MATMUL).forward(
        gates, torch.zeros(3, 2), c0, torch.randn(8, 2), saved
    )
    assert saved.c_NH is not None
    assert torch.equal(saved.c_NH[[5, 6, 2]], last_c)
