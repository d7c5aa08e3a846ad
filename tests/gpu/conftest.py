"""The devices that each test runs on: a GPU where there is one, and a fake GPU."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipelines.model.engine.library_lstm import cudnn_dtype
from tests.gpu.fake_cuda import GPU, FakeGpu, LstmCall, fake_cuda

_SYNC = "called a synchronizing CUDA operation"


class RealGpu:
    """The first GPU, with the interface of the fake one."""

    device = GPU
    is_fake = False

    @contextmanager
    def forbid_syncs(self) -> Iterator[None]:
        """Raise an error at any operation that waits for the GPU."""
        torch.cuda.synchronize()
        _set_sync_debug_mode("error")
        try:
            yield
        finally:
            _set_sync_debug_mode("default")

    @contextmanager
    def record_syncs(self) -> Iterator[list[str]]:
        """Record torch's warnings of host syncs; waiting for an event gives none."""
        syncs: list[str] = []
        torch.cuda.synchronize()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _set_sync_debug_mode("warn")
            try:
                yield syncs
            finally:
                _set_sync_debug_mode("default")
            syncs += [str(w.message) for w in caught if _SYNC in str(w.message)]

    @contextmanager
    def record_lstm(self) -> Iterator[list[LstmCall]]:
        """Record the calls of cuDNN's LSTM; none where torch runs another LSTM."""
        calls: list[LstmCall] = []
        with _CudnnCalls(calls):
            yield calls


class ImitatedGpu:
    """The fake GPU, with the interface of `RealGpu`."""

    device = GPU
    is_fake = True

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu = gpu
        self.forbid_syncs, self.record_syncs = gpu.forbid_syncs, gpu.record_syncs

    @contextmanager
    def record_lstm(self) -> Iterator[list[LstmCall]]:
        """Record the calls of cuDNN's LSTM."""
        self._gpu.lstm_calls.clear()
        yield self._gpu.lstm_calls


class _CudnnCalls(TorchDispatchMode):
    def __init__(self, calls: list[LstmCall]) -> None:
        super().__init__()
        self._calls = calls

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._cudnn_rnn.default:
            input_, weights, _, _, hidden, cell, *_ = args
            dtypes = {operand.dtype for operand in (input_, *weights, hidden, cell)}
            num_rows = input_.numel() // input_.shape[-1]
            self._calls.append(LstmCall(dtypes, num_rows))
        return func(*args, **(kwargs or {}))


def _set_sync_debug_mode(mode: str) -> None:
    with warnings.catch_warnings():  # torch warns that it is a prototype
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode(mode)


@pytest.fixture(params=[pytest.param("gpu", marks=pytest.mark.gpu), "fake"])
def gpu(request):
    """A GPU, real or fake."""
    if request.param == "gpu":
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA GPU")
        yield RealGpu()
        return
    cudnn_dtype.cache_clear()
    with fake_cuda() as fake:
        yield ImitatedGpu(fake)
    cudnn_dtype.cache_clear()
