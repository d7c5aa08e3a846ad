"""The fake GPU finds the mistakes that it is there for."""

import pytest
import torch

from tests.gpu.fake_cuda import (
    GPU,
    FakeCudaTensor,
    HostSync,
    MixedDevices,
    fake_cuda,
    host,
)


@pytest.fixture
def gpu():
    with fake_cuda() as found:
        yield found


def test_tensors_are_where_they_were_asked_for(gpu):
    claimed = torch.zeros(2, 3, device="cuda")
    assert isinstance(claimed, FakeCudaTensor)
    assert claimed.device == GPU
    assert claimed.is_cuda
    assert not claimed.is_cpu
    for made in (
        claimed + 1,
        claimed.new_zeros(3),
        torch.zeros_like(claimed),
        claimed[0],
        claimed.bfloat16(),
        torch.ones(2, 3).to("cuda"),
        torch.ones(2, 3).cuda(),
        torch.full((2,), 1, device=GPU),
        torch.arange(3, device="cuda"),
        torch.nn.Linear(2, 3).to("cuda").weight,
    ):
        assert made.device == GPU
    for made in (claimed.cpu(), torch.zeros_like(claimed, device="cpu")):
        assert type(made) is torch.Tensor
        assert made.device.type == "cpu"


def test_operands_on_both_devices_are_refused(gpu):
    claimed, plain = torch.ones(2, device="cuda"), torch.ones(2)
    for mixed in (
        lambda: claimed + plain,
        lambda: plain * claimed,
        lambda: claimed.add_(plain),
        lambda: torch.cat([claimed, plain]),
        lambda: claimed.index_select(0, torch.tensor([0])),
    ):
        with pytest.raises(MixedDevices, match=r"aten\..* on the CPU.*test_fake_cuda"):
            mixed()
    assert host(claimed * torch.tensor(3.0)).tolist() == [3.0, 3.0]


SYNCS = {
    "item": lambda t: t[0].item(),
    "bool": lambda t: bool(t[0] > 0),
    "int": lambda t: int(t[0]),
    "tolist": lambda t: t.tolist(),
    "cpu": lambda t: t.cpu(),
    "to the host": lambda t: t.to("cpu", torch.float64),
    "into the host's memory": lambda t: torch.empty(3).copy_(t),
    "nonzero": lambda t: t.nonzero(),
    "where": lambda t: torch.where(t > 0),
    "mask": lambda t: t[t > 1],
    "mask and values": lambda t: t.__setitem__(t > 1, t[:2].clone()),
    "masked_select": lambda t: t.masked_select(t > 1),
    "unique": lambda t: t.unique(),
    "equal": lambda t: torch.equal(t, t),
    "allclose": lambda t: torch.allclose(t, t),
    "repeat": lambda t: t.repeat_interleave(torch.ones_like(t, dtype=torch.long)),
    "list": lambda t: torch.tensor([1, 2], device=t.device),
    "number": lambda t: torch.tensor(1, device=t.device),
    "from the host": lambda t: torch.ones(3).to("cuda"),
    "from memory that is not pinned": lambda t: torch.ones(3).to(
        "cuda", non_blocking=True
    ),
    "from pinned memory, blocking": lambda t: torch.ones(3).pin_memory().to("cuda"),
    "another dtype": lambda t: (
        torch.ones(3).pin_memory().to("cuda", torch.bfloat16, non_blocking=True)
    ),
    "index from the host": lambda t: t[torch.tensor([0, 1])],
    "synchronize": lambda t: torch.cuda.synchronize(),
    "coalesce": lambda t: torch.sparse_coo_tensor(
        torch.zeros(1, 3, dtype=torch.long, device="cuda"),
        t,
        (2,),
        check_invariants=False,
    ).coalesce(),
}


@pytest.mark.parametrize("name", SYNCS)
def test_each_wait_is_recorded_once(gpu, name):
    tensor = torch.arange(1.0, 4.0, device="cuda")
    with gpu.record_syncs() as syncs:
        SYNCS[name](tensor)
    assert len(syncs) == 1
    assert "tests/gpu/test_fake_cuda.py:" in syncs[0]
    with pytest.raises(HostSync), gpu.forbid_syncs():
        SYNCS[name](tensor)


def test_what_does_not_wait_is_not_recorded(gpu):
    tensor = torch.arange(1.0, 4.0, device="cuda")
    index = torch.zeros(2, dtype=torch.long, device="cuda")
    with gpu.forbid_syncs():
        tensor[0] = 5.0
        tensor[:, None][:, 0] = 2
        tensor[tensor > 3] = 1.0
        tensor[index].add_(1).sum()
        tensor[index] = tensor[:2].clone()
        tensor.masked_fill(tensor > 0, -1.0)
        torch.where(tensor > 0, tensor, 0.0)
        tensor.repeat_interleave(
            torch.ones_like(tensor, dtype=torch.long), output_size=3
        )
        torch.ones(3).pin_memory().to("cuda", non_blocking=True)
        torch.empty(3, pin_memory=True).to("cuda", non_blocking=True)
        torch.empty(3, pin_memory=True)[1:].to("cuda", non_blocking=True)
        tensor.copy_(torch.ones(3).pin_memory(), non_blocking=True)
        tensor.to("cpu", non_blocking=True)


def test_a_copy_that_does_not_block_arrives_when_it_is_waited_for(gpu):
    tensor = torch.arange(1.0, 4.0, device="cuda")
    place = torch.zeros(3, pin_memory=True)
    with gpu.forbid_syncs():
        place.copy_(tensor, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        late = tensor.to("cpu", non_blocking=True)
        tensor.add_(10)
    assert place.isnan().all()
    with gpu.record_syncs() as syncs:
        event.synchronize()
    assert len(syncs) == 1
    assert place.tolist() == [1.0, 2.0, 3.0]
    assert late.isnan().all()
    torch.cuda.synchronize()
    assert late.tolist() == [1.0, 2.0, 3.0]


def test_gradients_are_on_the_gpu_and_right(gpu):
    weight = torch.arange(6.0).view(2, 3).to("cuda").requires_grad_()
    (weight * weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.device == GPU
    assert host(weight.grad).tolist() == (2 * host(weight)).tolist()
    assert gpu.num_graph_nodes == 2


def test_torch_is_as_before_afterwards():
    with fake_cuda():
        assert torch.cuda.is_available()
    assert type(torch.ones(2).pin_memory) is type(torch.ones(2).cpu)
    assert torch.cuda.device_count() == 0 or torch.cuda.is_available()
