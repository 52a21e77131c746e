"""The scale on which a reducer sees the residual stream."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from rs_cae.dynamics.moments import Moments

Standardization = Literal["none", "global", "per_sublayer"]


class Standardizer(nn.Module):
    """Shifts and divides states by numbers fitted on the training set, and undoes it.

    Norms of the residual stream grow many-fold with depth, so on raw states (``none``) the late sublayers dominate a
    squared error. ``global`` takes the train mean [width] away and divides by one number, the root mean square of what
    is left. ``per_sublayer`` divides each sublayer by the root mean square of its states; it centres nothing, because
    a mean taken away per sublayer would erase the mean trajectory. All three are our definitions.

    Args:
        width: Units of the residual stream.
        sublayers: Places at which it is read.
        mode: See above.

    Attributes:
        offset: [width], taken away first.
        scale: [sublayers], divided by next.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, width: int, sublayers: int, mode: Standardization = "per_sublayer") -> None:
        super().__init__()
        if mode not in get_args(Standardization):
            raise ValueError(f"standardize {mode!r} is none of {', '.join(get_args(Standardization))}")
        self.mode = mode
        self.register_buffer("offset", torch.zeros(width))
        self.register_buffer("scale", torch.ones(sublayers))

    def fit(self, states: Moments) -> None:
        """Set offset and scale from the training set's moments over [sublayers, width]."""
        if self.mode == "none":
            return
        mean = states.mean[0]
        offset = mean.mean(dim=0) if self.mode == "global" else torch.zeros_like(mean[0])
        mean_square = (states.variance[0] + (mean - offset).square()).mean(dim=-1)
        if self.mode == "global":
            mean_square = mean_square.mean().expand_as(mean_square)
        scale = torch.where(mean_square > 0, mean_square.sqrt(), 1.0)
        self.offset.copy_(offset)
        self.scale.copy_(scale)

    def forward(self, trajectories: Tensor) -> Tensor:
        """Trajectories [..., sublayers, width], any precision, to standardized ones in the buffers' precision."""
        return (trajectories.to(self.offset.dtype) - self.offset) / self.scale[:, None]

    def inverse(self, standardized: Tensor) -> Tensor:
        """Standardized trajectories back to the units of the activations."""
        return standardized * self.scale[:, None] + self.offset
