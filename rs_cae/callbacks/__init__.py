"""What a test asks of a fitted reducer, a question a file, and the record that keeps the answers."""

from rs_cae.callbacks.dynamics import Dynamics
from rs_cae.callbacks.explained_variance import ExplainedVariance
from rs_cae.callbacks.latent_trajectory import LatentTrajectory
from rs_cae.callbacks.read_tokens import ReadTokens
from rs_cae.callbacks.run_record import RunRecord

__all__ = ["Dynamics", "ExplainedVariance", "LatentTrajectory", "ReadTokens", "RunRecord"]
