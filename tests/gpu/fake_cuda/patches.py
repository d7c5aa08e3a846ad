"""Put the fake GPU in place of torch's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch.autograd.function import BackwardCFunction

from tests.gpu.fake_cuda.device import FakeGpu
from tests.gpu.fake_cuda.streams import Event, Stream


@contextmanager
def fake_cuda() -> Iterator[FakeGpu]:
    """One GPU inside the block, with bfloat16 and 64 GiB.

    Only the calling thread can make tensors on it; other threads may pin memory.
    """
    gpu = FakeGpu()
    stream = Stream(gpu)
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor, *_: gpu.pin(tensor))
        patch.setattr(torch.autograd, "_engine_run_backward", gpu.run_backward)
        patch.setattr(
            BackwardCFunction,
            "apply",
            lambda function, *gradients: gpu.run_backward_function(
                function, *gradients
            ),
        )
        for name, value in {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "set_device": lambda device: None,
            "get_device_name": lambda device=None: "fake",
            "is_bf16_supported": lambda including_emulation=True: True,
            "mem_get_info": lambda device=None: (1 << 36, 1 << 36),
            "max_memory_allocated": lambda device=None: 0,
            "reset_peak_memory_stats": lambda device=None: None,
            "empty_cache": lambda: None,
            "is_current_stream_capturing": lambda: False,
            "synchronize": lambda device=None: gpu.sync("synchronize"),
            "Event": lambda *_, **__: Event(gpu),
            "Stream": lambda *_, **__: stream,
            "current_stream": lambda device=None: stream,
            "stream": lambda stream: stream,
        }.items():
            patch.setattr(torch.cuda, name, value)
        # Moving a module replaces its parameters: torch cannot swap the data of these.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with gpu.mode:
                yield gpu
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
