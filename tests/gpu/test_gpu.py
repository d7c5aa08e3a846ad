"""Results and host syncs of training and search on a GPU.

`pytest -m gpu` runs these on a GPU; without one they run on the fake GPU alone.
"""

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from pipelines.config import ModelConfig
from pipelines.data.batch import make_batch
from pipelines.data.dataset import ParallelDataset
from pipelines.distributed.process_group import DistributedContext
from pipelines.model.engine.device import choose_device, describe, free_memory_bytes
from pipelines.model.engine.library_lstm import cudnn_dtype
from pipelines.model.engine.matmul import choose_matmul
from pipelines.model.engine.precision import choose_precision, tf32_switched
from pipelines.model.loss import summed_cross_entropy
from pipelines.model.lstm import LSTMStack
from pipelines.progress import SILENT
from pipelines.search.forced_decoding import ForcedDecoder
from pipelines.trainer.validation import validate
from tests.gpu.device_cases import (
    CASES,
    CPU,
    EVEN,
    LINES,
    RAGGED,
    assert_near,
    every_case,
    given_translations,
    loaded,
    make_model,
    make_train_step,
    make_translator,
    one_update,
    outputs,
    trained,
    trained_state,
    with_precision,
    without_dropout,
)
from tests.gpu.fake_cuda import host
from tests.model.test_loss import confident
from tests.trainer.tiny import write_data

every_precision = pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])


@pytest.mark.parametrize("pairs", [EVEN, RAGGED], ids=["even", "ragged"])
@every_precision
@every_case
def test_an_update_equals_the_cpus(gpu, name, precision, pairs):
    case = without_dropout(CASES[name])
    actual = one_update(case, gpu.device, precision, pairs)
    assert_near(actual, one_update(case, CPU, "fp32", pairs), precision=precision)


@every_precision
@every_case
def test_an_update_has_no_host_sync(gpu, name, precision):
    train_step = make_train_step(CASES[name], gpu.device, precision=precision)
    pairs = EVEN, RAGGED, EVEN, RAGGED
    batches = [loaded(make_batch(each), gpu.device) for each in pairs]
    first, second, *rest = batches
    for step, batch in enumerate((first, second)):  # load libraries, allocate memory
        train_step(batch, step=step, learning_rate=1e-2)
    with gpu.forbid_syncs():
        for step, batch in enumerate(rest, 2):
            nll, norm = train_step(batch, step=step, learning_rate=1e-2)
    assert host(nll).isfinite()
    assert host(norm).isfinite()


@every_case
def test_a_validation_has_one_host_sync(gpu, name, tmp_path):
    write_data(tmp_path)
    dataset = ParallelDataset.open(tmp_path / "binarize", "valid")
    config = with_precision(CASES[name], "bf16").model_copy(update={"batch_size": 3})
    model = make_model(CASES[name], gpu.device, vocab_size=9)
    options = dataset, config
    validate(model, *options, distributed=DistributedContext(), progress=SILENT)
    with gpu.record_syncs() as syncs:
        validate(model, *options, distributed=DistributedContext(), progress=SILENT)
    assert len(syncs) == 1, syncs


SIZES = {
    "even": (4, 4, 4, 4, 4, 4, 4, 4),
    "ragged": (40, 40, 33, 17, 16, 1, 1),
    "one step": (5,),
}


def run_with_gradients(run, stack, matmul, input_NI, state, sizes):
    """Output, last state and all gradients of one of the two engines."""
    inputs = [t.clone().requires_grad_() for t in (input_NI, *state)]
    stack.zero_grad()
    with tf32_switched(matmul.backend, input_NI.device):
        output, (h, c) = run(inputs[0], sizes, matmul, (inputs[1], inputs[2]))
        shape = torch.Size(output.shape)
        mix = torch.linspace(-1, 1, shape.numel(), device=output.device).view(shape)
        loss = (output.float() * mix).sum() + h.float().sum() - 2 * c.float().sum()
        loss.backward()
    gradients = {name: p.grad for name, p in stack.named_parameters()}
    names = ("input", "h0", "c0")
    gradients |= {name: t.grad for name, t in zip(names, inputs, strict=True)}
    return output, {"output": output, "h": h, "c": c, **gradients}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("layers", [1, 3])
@every_precision
def test_our_engine_and_cudnn_agree(gpu, layers, precision, sizes):
    torch.manual_seed(1)
    config = ModelConfig(layers=layers, cells=32, embedding_size=16)
    stack = LSTMStack(config).to(gpu.device)
    matmul = choose_matmul(precision, gpu.device)
    input_NI = torch.randn(sum(sizes), 16).to(gpu.device)
    state = torch.randn(2, layers, sizes[0], 32).to(gpu.device).unbind()
    arguments = stack, matmul, input_NI, state, sizes
    own, ours = run_with_gradients(stack.run_own, *arguments)
    library, theirs = run_with_gradients(stack.run_library, *arguments)
    assert own.dtype is matmul.dtype
    assert library.dtype is cudnn_dtype(matmul.dtype, gpu.device)
    for results in (ours, theirs):
        for name, value in results.items():
            assert value.device == gpu.device
            if name not in ("output", "h", "c"):  # gradients of float32 tensors
                assert value.dtype is torch.float32, name
    own, library = ({k: host(v) for k, v in each.items()} for each in (ours, theirs))
    # cuDNN rounds the cells too.
    assert_near(own, library, precision=precision, factor=2)


@every_precision
@every_case
def test_cudnn_runs_in_the_configured_precision_without_padding(gpu, name, precision):
    case = CASES[name]
    train_step = make_train_step(case, gpu.device, precision=precision)
    batch = make_batch(RAGGED)
    expected = cudnn_dtype(train_step.matmul.dtype, gpu.device)
    with gpu.record_lstm() as calls:
        train_step(loaded(batch, gpu.device), step=0, learning_rate=1e-2)
    if case.model.peepholes:
        assert not calls
        return
    assert {call.num_rows for call in calls} == {
        len(batch.src.inverse_N),
        batch.num_tgt_tokens,
    }
    assert all(call.dtypes == {expected} for call in calls)


def test_bf16_runs_in_bf16_where_the_gpu_has_it(gpu):
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    expected = "bf16" if has_bf16 else "fp32"
    assert choose_precision("auto", gpu.device) == expected
    if has_bf16:  # cuDNN 9.13 and later
        assert cudnn_dtype(torch.bfloat16, gpu.device) is torch.bfloat16


@pytest.mark.parametrize("probability", [0.9, 0.99, 0.999])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_confident_word_has_its_true_loss_and_gradient(gpu, precision, probability):
    features, targets, weight = confident(probability)
    exact = [features.clone().requires_grad_(), weight.clone().requires_grad_()]
    expected = cross_entropy(linear(*exact), targets, reduction="sum")
    expected.backward()
    matmul = choose_matmul(precision, gpu.device)
    actual = [
        t.float().detach().to(gpu.device).requires_grad_() for t in (features, weight)
    ]
    with tf32_switched(matmul.backend, gpu.device):
        arguments = actual[0], targets.to(gpu.device), actual[1], None, matmul
        loss, nll = summed_cross_entropy(*arguments)
        loss.backward()
        with torch.no_grad():
            _, validated = summed_cross_entropy(*arguments)
    limit = 0.025 if precision == "bf16" else 5e-4
    for near, there in zip(actual, exact, strict=True):
        error = host(near.grad).double() - there.grad
        assert error.norm() <= limit * there.grad.norm()
    for value in (loss, nll, validated):
        assert host(value).item() == pytest.approx(expected.item(), rel=limit)


@pytest.mark.parametrize("to_gpu", [True, False], ids=["to the GPU", "to the CPU"])
def test_a_checkpoint_is_resumed_on_the_other_device(gpu, to_gpu, tmp_path):
    write_data(tmp_path)
    first, second = (CPU, gpu.device) if to_gpu else (gpu.device, CPU)
    trained(tmp_path, "run", first, steps=3)
    resumed = trained(tmp_path, "run", second, steps=6)
    assert resumed.model.encoder.embedding.weight.device == second
    whole = trained(tmp_path, "whole", CPU, steps=6)
    # Adam divides small gradients, and their rounding, by themselves.
    assert_near(trained_state(resumed), trained_state(whole), precision="tf32")


@pytest.mark.parametrize(("beam", "num_models"), [(1, 1), (12, 1), (3, 2)], ids=str)
@every_case
def test_translations_equal_the_cpus(gpu, name, beam, num_models):
    options = {"beam": beam, "num_models": num_models, "precision": "fp32"}
    actual, expected = (
        make_translator(CASES[name], device, **options).translate(LINES)
        for device in (gpu.device, CPU)
    )
    assert outputs(actual) == outputs(expected)


@every_precision
@every_case
def test_scores_of_given_translations_equal_the_cpus(gpu, name, precision):
    actual, expected = (
        ForcedDecoder(
            make_translator(CASES[name], device, beam=1, precision=p).loaded
        ).score(given_translations())
        for device, p in ((gpu.device, precision), (CPU, "fp32"))
    )
    tolerance = {"fp32": 1e-4, "tf32": 2e-2, "bf16": 1e-1}[precision]
    for own, other in zip(actual, expected, strict=True):
        for ours, theirs in zip(own, other, strict=True):
            assert ours == pytest.approx(theirs, abs=tolerance)


@pytest.mark.parametrize(("precision", "inside"), [("fp32", "ieee"), ("tf32", "tf32")])
def test_the_tf32_switches_are_restored(gpu, precision, inside):
    switches = torch.backends.cuda.matmul, torch.backends.cudnn.rnn
    before = [each.fp32_precision for each in switches]
    train_step = make_train_step(CASES["2x512"], gpu.device, precision=precision)
    during: list[list[str]] = []
    train_step.model.register_forward_hook(
        lambda *_: during.append([each.fp32_precision for each in switches])
    )
    train_step(loaded(make_batch(EVEN), gpu.device), step=0, learning_rate=0.1)
    assert during == [[inside, inside]]
    assert [each.fp32_precision for each in switches] == before


def test_the_gpu_is_chosen_and_described(gpu):
    assert choose_device("auto").type == "cuda"
    assert describe(gpu.device).startswith("GPU ")
    free = free_memory_bytes(gpu.device)
    assert free is not None
    assert free > 0
