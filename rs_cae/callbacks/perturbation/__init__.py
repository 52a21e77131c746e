"""Where does the stream go when it is put elsewhere, and does it come back? (Figure 4D)"""

from rs_cae.callbacks.perturbation.callback import REFERENCE, PerturbationField, in_drawn_order
from rs_cae.callbacks.perturbation.findings import record_study
from rs_cae.callbacks.perturbation.variables import PromptBootstrap

__all__ = ["REFERENCE", "PerturbationField", "PromptBootstrap", "in_drawn_order", "record_study"]
