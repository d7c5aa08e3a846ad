"""A fake GPU: tensors that claim to be on `cuda` and compute on the CPU.

With these, the code that a GPU takes runs on any machine, and two kinds of mistakes in
it are found: operands on different devices, and host syncs (the host waits for the
device). What differs from a real GPU: kernels, their rounding and their speed; and C++
code sees a CPU tensor, so an operation that torch itself implements differently on a
GPU (dropout, the choice of a `foreach` kernel) takes its CPU path.

    with fake_cuda() as gpu:
        model.to("cuda")
        with gpu.record_syncs() as syncs:
            step(model)
        assert syncs == []

How it works. A tensor is a wrapper subclass around a CPU tensor (`tensor`). Every
operation on it passes `__torch_dispatch__`, where devices are compared (`dispatch`).
Calls that name a device (`torch.zeros(..., device="cuda")`, `tensor.to("cuda")`) are
rewritten by a `TorchFunctionMode` (`device`). Copies and host syncs are recorded in
`transfers`. cuDNN's LSTM is replaced by the CPU's, in float32, rounded (`cudnn`).
Events and streams are in `streams`; `patches` puts it all in place of torch's own.

Host syncs that are recorded: reading a value (`item`, `bool`, `tolist`, `cpu`),
operations whose result has a shape that depends on values (`nonzero`, a mask as index,
`unique`, `repeat_interleave` without `output_size`), `equal`, `coalesce`, copies that
block, and copies from or to memory that is not pinned. A copy to the host that does not
block arrives only when something waits for it; until then the memory holds nonsense.
"""

from tests.gpu.fake_cuda.cudnn import LstmCall
from tests.gpu.fake_cuda.device import FakeGpu
from tests.gpu.fake_cuda.dispatch import MixedDevices
from tests.gpu.fake_cuda.patches import fake_cuda
from tests.gpu.fake_cuda.tensor import GPU, FakeCudaTensor, host
from tests.gpu.fake_cuda.transfers import HostSync

__all__ = [
    "GPU",
    "FakeCudaTensor",
    "FakeGpu",
    "HostSync",
    "LstmCall",
    "MixedDevices",
    "fake_cuda",
    "host",
]
