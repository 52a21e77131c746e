"""Training of autoencoders: one for all sublayers, or one for each, all at once."""

import math
from copy import deepcopy
from typing import Any, Literal, get_args

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rs_cae import processes
from rs_cae.dynamics.moments import Moments
from rs_cae.modules.base import ReducerModule
from rs_cae.modules.principal import fit_principal_axes
from rs_cae.reducers.autoencoder import CompressingAutoencoder, Initialization, Widths
from rs_cae.reducers.base import Scope
from rs_cae.reducers.stacked import Activation
from rs_cae.reducers.standardizer import Standardization
from rs_cae.stream.trajectories import TrajectoryBatch

Loss = Literal["mse", "relative"]

ROUNDING = 1e-6
"""A standard deviation below this share of the mean is that of a constant: states are read in float32 or less."""


class AutoencoderModule(ReducerModule):
    """Trains compressing autoencoders by AdamW on the squared error of standardized states.

    With ``scope: per_sublayer`` there is one for each sublayer. They share batches and steps and nothing else: each has
    its own loss, its own gradient norm where ``--trainer.gradient_clip_val`` clips, its own best weights and its own
    early stop, as if it were trained alone. ``reducer`` holds the best weights so far, ``network`` those in training.

    Args:
        width: Units of the residual stream; set from the data.
        sublayers: Places at which it is read; set from the data.
        bottleneck: Latents of a state.
        scope: ``shared``: one autoencoder for all sublayers; ``per_sublayer``: one for each.
        n_layers: Linear layers in all, half of them down and half of them up.
        widths: Of the layers: ``geometric`` or ``halving`` from the stream's to the bottleneck's, or a list of those
            between the two, which then says how many layers there are.
        activation: Between layers: ``gelu``, ``relu``, ``silu``, ``tanh``, or ``identity`` for a linear autoencoder.
        layer_norm: Whether units are normalized before each activation.
        tied: Whether the decoder's weights are the encoder's, transposed.
        init: ``pca``: with a linear path around the layers that begins as the train set's PCA; ``random``: layers
            alone, as in the paper.
        standardize: ``per_sublayer`` divides each sublayer by its train RMS; ``global`` centres and divides all alike;
            ``none`` leaves raw states, whose late sublayers then dominate the loss.
        loss: ``mse``, or ``relative``: the error of each sublayer over the train variance of its states.
        noise: Standard deviation, in standardized units, of Gaussian noise on the states that are encoded in training.
        lr: Peak learning rate of AdamW.
        weight_decay: Of AdamW.
        warmup: Share of all steps over which the learning rate rises to its peak, before a cosine takes it to zero.
        patience: Validations without a better loss after which an autoencoder's weights are final; null for all.
        seed: Of the initial weights; the run's if null.

    Raises:
        ValueError: If an argument is out of range.
    """

    reducer: CompressingAutoencoder
    best_loss: Tensor
    waited: Tensor

    def __init__(
        self,
        width: int,
        sublayers: int,
        bottleneck: int = 2,
        scope: Scope = "shared",
        n_layers: int = 10,
        widths: Widths | list[int] = "geometric",
        activation: Activation = "gelu",
        layer_norm: bool = False,
        tied: bool = False,
        init: Initialization = "pca",
        standardize: Standardization = "per_sublayer",
        loss: Loss = "mse",
        noise: float = 0.0,
        lr: float = 8e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.05,
        patience: int | None = None,
        seed: int | None = None,
    ) -> None:
        reducer = CompressingAutoencoder(
            width,
            sublayers,
            bottleneck,
            scope=scope,
            n_layers=n_layers,
            widths=widths,
            activation=activation,
            layer_norm=layer_norm,
            tied=tied,
            init=init,
            standardize=standardize,
            seed=seed,
        )
        super().__init__(reducer)
        _refuse_out_of_range({"noise": noise, "lr": lr, "weight_decay": weight_decay, "warmup": warmup}, patience)
        if loss not in get_args(Loss):
            raise ValueError(f"loss {loss!r} is none of {', '.join(get_args(Loss))}")
        self.save_hyperparameters()
        self.network = deepcopy(reducer.network)
        reducer.requires_grad_(False)
        self.init, self.loss, self.noise = init, loss, noise
        self.lr, self.weight_decay, self.warmup, self.patience = lr, weight_decay, warmup, patience
        self._begin_epoch()
        self.register_buffer("best_loss", torch.full((reducer.maps,), torch.inf, dtype=torch.float64))
        self.register_buffer("waited", torch.zeros(reducer.maps, dtype=torch.long))

    def prepare(self, states: Moments) -> None:
        """Fit the standardization, weigh the loss and, if asked to, begin as a PCA."""
        super().prepare(states)
        scale = self.reducer.standardizer.scale
        if self.loss == "relative":
            variance, mean_square = (part.mean(dim=-1) for part in (states.variance[0], states.mean[0].square()))
            weight = scale.double().square() / variance
            self.loss_weight.copy_(torch.where(variance > ROUNDING**2 * mean_square, weight, 1.0))
        if self.init == "pca":
            axes = fit_principal_axes(self.data, self.reducer, self.reducer.bottleneck, self.device)
            size = axes.variances.mean(dim=1).sqrt()
            size = torch.where(size > ROUNDING * axes.mean.norm(dim=1), size, 1.0)
            self.network.begin_as_principal_components(axes.mean, axes.directions, size)

    @torch.no_grad()
    def on_train_start(self) -> None:
        """Take the weights that training starts from as the first candidates for the best ones."""
        self._begin_epoch()
        if self.noise:
            torch.manual_seed(torch.initial_seed() + processes.rank())  # no process has another's noise
        if self.trainer.global_step:
            return
        self.best_loss.fill_(torch.inf)
        self.waited.zero_()
        for batch in self.data.batches("validation", self.device):
            self.validation_step(batch, 0)
        self.keep_best(self.loss_by_map(self.val_errors.compute()[0]))
        self.val_errors.reset()
        self.val_moments.reset()

    def training_step(self, batch: TrajectoryBatch, batch_index: int) -> Tensor:
        """The sum of the autoencoders' losses, so that each gets the gradient of its own."""
        standardized = self.reducer.standardizer(batch.states)
        noisy = standardized + self.noise * torch.randn_like(standardized) if self.noise else standardized
        loss = self._loss(self._by_network(noisy), standardized)
        self.train_loss += loss.detach() * len(batch.samples)
        self.train_samples += len(batch.samples)
        return self.reducer.maps * loss * self._share_of_mean(batch)

    def reconstruct(self, standardized: Tensor) -> Tensor:
        """In a fit, by the weights in training; elsewhere, by the best."""
        in_fit = self.trainer.state.fn == TrainerFn.FITTING
        return self._by_network(standardized) if in_fit else super().reconstruct(standardized)

    @torch.no_grad()
    def keep_best(self, losses: Tensor) -> Tensor:
        """In a fit, keep the weights of each autoencoder whose loss [maps] is its lowest; stop when none can go on."""
        if self.trainer.state.fn != TrainerFn.FITTING or self.trainer.sanity_checking:
            return losses
        limit = self.patience or torch.inf
        going_on = self.waited < limit
        better = going_on & (losses < self.best_loss)
        for kept, trained in zip(self.reducer.network.parameters(), self.network.parameters(), strict=True):
            kept[better] = trained[better]
        self.best_loss.copy_(torch.where(better, losses, self.best_loss))
        self.waited.copy_(torch.where(better, 0, self.waited + going_on))
        self.trainer.should_stop |= bool((self.waited >= limit).all())
        return self.best_loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's loss, and the learning rate at its end."""
        samples = processes.total(torch.tensor(float(self.train_samples), device=self.device))
        self.log("train/loss", processes.total(self.train_loss) / samples)
        self.log("train/lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        self._begin_epoch()

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient norm of each autoencoder by itself; single values as ever."""
        if not gradient_clip_val or gradient_clip_algorithm == "value":
            return self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        gradients = [weight.grad for weight in self.network.parameters() if weight.grad is not None]
        norm = torch.stack([gradient.square().flatten(1).sum(dim=1) for gradient in gradients]).sum(dim=0).sqrt()
        factor = (gradient_clip_val / (norm + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factor.reshape(-1, *[1] * (gradient.ndim - 1)))
        return None

    def configure_optimizers(self) -> Any:
        """AdamW with a linear warm-up and a cosine to zero, counted in steps."""
        fused = not self.trainer.precision.endswith("mixed")  # it unscales in its step, too late for Lightning to clip
        optimizer = torch.optim.AdamW(self.network.parameters(), self.lr, weight_decay=self.weight_decay, fused=fused)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        rise = max(1, round(self.warmup * total))

        def factor(step: int) -> float:
            if step < rise:
                return (step + 1) / rise
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))

        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}

    def _begin_epoch(self) -> None:
        self.train_loss, self.train_samples = torch.zeros((), dtype=torch.float64, device=self.device), 0

    def _by_network(self, standardized: Tensor) -> Tensor:
        return self.reducer.map_rows(self.network, standardized)

    def _loss(self, reconstructed: Tensor, standardized: Tensor) -> Tensor:
        """The mean of the autoencoders' losses."""
        if self.loss == "mse":
            return mse_loss(reconstructed, standardized)  # the same, without tensors in between
        return self.loss_by_map((reconstructed - standardized).square().mean(dim=(0, 2))).mean()

    def _share_of_mean(self, batch: TrajectoryBatch) -> float:
        """Factor that makes DDP's mean over processes the mean over all samples, however unequal the shares."""
        if processes.world_size() == 1:
            return 1.0
        own = torch.tensor(float(len(batch.samples)), device=self.device)
        return float(own * processes.world_size() / processes.total(own))


def _refuse_out_of_range(numbers: dict[str, float], patience: int | None) -> None:
    for name, value in numbers.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} {value} must be at least 0")
    if numbers["warmup"] > 1:
        raise ValueError(f"warmup {numbers['warmup']} must be at most 1")
    if patience is not None and patience < 1:
        raise ValueError(f"patience {patience} must be at least 1, or null")
