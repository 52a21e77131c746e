"""What a test asks of a fitted reducer, a question a file, and the record that keeps the answers."""

from lightning import Callback

from rs_cae.callbacks.curvature import Curvature
from rs_cae.callbacks.dimension import IntrinsicDimension
from rs_cae.callbacks.dynamics import Dynamics
from rs_cae.callbacks.explained_variance import ExplainedVariance
from rs_cae.callbacks.latent_trajectory import LatentTrajectory
from rs_cae.callbacks.perturbation import PerturbationField
from rs_cae.callbacks.read_tokens import ReadTokens
from rs_cae.callbacks.run_record import RunRecord
from rs_cae.callbacks.wandb_results import WandbResults

ANALYSES: dict[str, type[Callback]] = {
    "explained_variance": ExplainedVariance,
    "latent_trajectory": LatentTrajectory,
    "dynamics": Dynamics,
    "intrinsic_dimension": IntrinsicDimension,
    "curvature": Curvature,
    "perturbation": PerturbationField,
}
"""Questions by the name of their options on the command line."""

__all__ = [
    "ANALYSES",
    "Curvature",
    "Dynamics",
    "ExplainedVariance",
    "IntrinsicDimension",
    "LatentTrajectory",
    "PerturbationField",
    "ReadTokens",
    "RunRecord",
    "WandbResults",
]
