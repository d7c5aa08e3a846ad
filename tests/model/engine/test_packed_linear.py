"""Linear layers for inference, in every precision."""

import pytest
import torch
from torch.nn import functional as F

from pipelines.errors import UsageError
from pipelines.model.engine.packed_linear import Int8LinearFactory, choose_linear
from tests.engines import CPU, LINEARS, ROW_INDEPENDENT

TOLERANCE = {"int8": 3e-2, "bf16": 2e-2, "fp32": 1e-5}
"""Error as a share of the largest value."""


def make_layer(num_rows=48):
    torch.manual_seed(1)
    rows = torch.rand(num_rows, 24) * 2 - 1
    return rows, torch.randn(40, 24), torch.randn(40)


def assert_near(actual, expected, name):
    assert actual.dtype is torch.float32
    limit = TOLERANCE[name.split()[0]] * expected.abs().max()
    assert (actual - expected).abs().max() <= limit


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("name", LINEARS)
def test_a_packed_layer_is_a_linear_layer(name, with_bias):
    rows, weight, bias = make_layer()
    bias = bias if with_bias else None
    layer = LINEARS[name].pack(weight, bias)
    actual = layer(LINEARS[name].operand(rows))
    assert_near(actual, F.linear(rows, weight, bias), name)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("name", LINEARS)
def test_an_unbounded_layer_takes_values_of_any_size(name, with_bias):
    rows, weight, bias = make_layer()
    rows, bias = 50 * rows, bias if with_bias else None
    actual = LINEARS[name].pack_unbounded(weight, bias)(rows)
    assert_near(actual, F.linear(rows, weight, bias), name)


@pytest.mark.parametrize("name", LINEARS)
def test_results_are_new_memory(name):
    rows, weight, bias = make_layer()
    layer, operand = LINEARS[name].pack(weight, bias), LINEARS[name].operand(rows)
    first = layer(operand)
    kept = first.clone()
    layer(LINEARS[name].operand(-rows)).zero_()
    assert torch.equal(first, kept)


@pytest.mark.parametrize("name", ROW_INDEPENDENT)
def test_a_row_has_the_same_bits_whatever_the_other_rows(name):
    rows, weight, bias = make_layer(64)
    layer = LINEARS[name].pack(weight, bias)
    together = layer(LINEARS[name].operand(rows))
    for part in (slice(0, 16), slice(16, 48), slice(48, 64)):
        assert torch.equal(layer(LINEARS[name].operand(rows[part])), together[part])


def test_int8_rounds_operands_to_steps_of_one_127th():
    values = torch.tensor([[-1.0, 0.0, 0.5 / 127, 1.0]])
    quantized = Int8LinearFactory().operand(values)
    assert quantized.dtype is torch.uint8
    assert quantized.tolist() == [[1, 128, 129, 255]]


def test_int8_on_a_gpu_is_refused():
    with pytest.raises(UsageError, match="int8 needs a CPU"):
        choose_linear("int8", torch.device("cuda"))


def test_a_factory_describes_its_library_and_precision():
    assert str(Int8LinearFactory()) == "int8 by onednn"
    assert str(choose_linear("fp32", CPU)) in ("fp32 by onednn", "fp32 by torch")
