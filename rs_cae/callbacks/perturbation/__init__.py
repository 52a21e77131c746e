"""Where does the stream go when it is put elsewhere, and does it come back? (Figure 4D)"""

from rs_cae.callbacks.perturbation.callback import REFERENCE, PerturbationField, in_drawn_order
from rs_cae.callbacks.perturbation.findings import record_study
from rs_cae.callbacks.perturbation.variables import Prompts

__all__ = ["REFERENCE", "PerturbationField", "Prompts", "in_drawn_order", "record_study"]
