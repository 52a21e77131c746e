"""The processes that run side by side: which one this is, and how they hand tensors to each other."""

import os

import torch
from torch import Tensor, distributed


def world_size() -> int:
    """How many processes there are; one until they have found each other."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


def launched_rank() -> int:
    """Which of them this is by what the launcher said, before they have found each other."""
    given = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return next((int(number) for number in given if number is not None), 0)


def as_launched(devices: int | str, machines: int) -> tuple[int | str, int]:
    """Devices a machine and machines: those that torchrun started processes for, unless the options name them.

    Args:
        devices: What the options say; ``auto`` leaves it to the launcher.
        machines: The same for machines; 1 leaves it to the launcher.
    """
    here, everywhere = os.environ.get("LOCAL_WORLD_SIZE"), os.environ.get("WORLD_SIZE")
    if devices != "auto" or here is None or everywhere is None:
        return devices, machines
    return int(here), machines if machines > 1 else int(everywhere) // int(here)


def part() -> None:
    """Wait for the others and let go of them: a process that leaves while its peers talk can take them down."""
    if world_size() > 1:
        distributed.barrier()
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def gather(tensor: Tensor) -> list[Tensor]:
    """The tensor of every process, by rank; all have the same shape."""
    if world_size() == 1:
        return [tensor]
    gathered = [torch.empty_like(tensor) for _ in range(world_size())]
    distributed.all_gather(gathered, tensor.contiguous())
    return gathered


def total(tensor: Tensor) -> Tensor:
    """The sum over all processes."""
    return torch.stack(gather(tensor)).sum(dim=0)


def hand_round(tensor: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype, owner: int, device: str) -> Tensor:
    """A tensor of one process, given to all.

    Args:
        tensor: What the owner holds; elsewhere nothing.
        shape: Its shape, known to all.
        dtype: Its type, known to all.
        owner: The rank that holds it.
        device: Where the processes meet: a GPU for NCCL, the CPU for Gloo.

    Returns:
        The tensor, in main memory.
    """
    if world_size() == 1 and tensor is not None:
        return tensor.cpu()
    held = torch.empty(shape, dtype=dtype, device=device) if tensor is None else tensor.to(device).contiguous()
    distributed.broadcast(held, owner)
    return held.cpu()
