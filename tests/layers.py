"""What the tests of the layer-major schedule share."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from rs_cae.stream.capture import Batchwise
from rs_cae.stream.hookpoints import find_hook_points
from rs_cae.stream.layerwise import Layerwise


def layerwise(folder, config, dtype=torch.float32, **options):
    return Layerwise(Path(folder), config, dtype, torch.device("cpu"), **options)


def ordinary(model, requests):
    return list(Batchwise(model, find_hook_points(model)).trajectories(requests))


def distance(got, wanted):
    """The largest difference of two lists of trajectory batches, each state's over its norm; the rest must be equal."""
    farthest = 0.0
    for ours, theirs in zip(got, wanted, strict=True):
        for mine, other in zip(ours[1:], theirs[1:], strict=True):
            assert torch.equal(mine, other)
        assert ours.states.dtype == theirs.states.dtype
        assert ours.states.shape == theirs.states.shape
        difference, theirs_norm = (ours.states - theirs.states).float().norm(dim=-1), theirs.states.float().norm(dim=-1)
        farthest = max(farthest, float((difference / theirs_norm).max()))
    return farthest


# The same operations on the same numbers: equal to the bit, unless a kernel sums in another order because a tensor
# begins elsewhere in memory. In float32 that is some 1e-7 a product, a dozen products deep.
CLOSE = 1e-5


def rewrite(folder, change):
    """Replace a checkpoint's tensors by what a function makes of them."""
    path = folder / "model.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in change(load_file(path)).items()}, path, {"format": "pt"})


def of_base(model):
    """Bytes of what is needed of a model: all but its head."""
    return sum(tensor.nbytes for tensor in model.base_model.state_dict().values())


def assert_nothing_left(capturer):
    model = capturer.weights.model
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    assert not any("forward" in vars(layer) for layer in capturer.points.layers)
