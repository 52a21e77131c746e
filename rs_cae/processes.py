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


def launched_count() -> int:
    """How many of them torchrun has started, before they have found each other; one if it was not torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leave() -> None:
    """Wait for the others and let go of them: a process that leaves while its peers talk can take them down."""
    if world_size() > 1:
        distributed.barrier()
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def accelerator(asked: str) -> str:
    """The accelerator that is asked for; ``auto`` is a GPU of NVIDIA or AMD, or the CPU.

    Never one of Apple's: they have no float64, in which the statistics are kept.
    """
    return "cpu" if asked == "auto" and not torch.cuda.is_available() else asked


def lost_another(error: RuntimeError) -> bool:
    """Whether an error says that another process has gone, which has itself said why."""
    return world_size() > 1 and any(name in str(error) for name in ("gloo", "NCCL", "Connection closed by peer"))


def gather(tensor: Tensor) -> list[Tensor]:
    """The tensor of every process, by rank; all have the same shape."""
    if world_size() == 1:
        return [tensor]
    own = tensor.to(_meeting_place()).contiguous()
    gathered = [torch.empty_like(own) for _ in range(world_size())]
    distributed.all_gather(gathered, own)
    return [part.to(tensor.device) for part in gathered]


def total(tensor: Tensor) -> Tensor:
    """The sum over all processes."""
    return torch.stack(gather(tensor)).sum(dim=0)


def broadcast(tensor: Tensor, owner: int) -> None:
    """Give a tensor in main memory, which one process has filled, to all of them.

    Args:
        tensor: Of the same shape everywhere; filled in place where it is not the owner's.
        owner: The rank that has filled it.
    """
    if world_size() == 1:
        return
    held = tensor.to(_meeting_place()).contiguous()
    distributed.broadcast(held, owner)
    tensor.copy_(held)


def _meeting_place() -> str:
    """Where the processes exchange tensors: NCCL knows GPUs alone, Gloo is used on CPUs."""
    return "cuda" if distributed.get_backend() == "nccl" else "cpu"
