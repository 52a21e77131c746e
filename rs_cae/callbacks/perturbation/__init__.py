"""Where does the stream go when it is put elsewhere, and does it come back? (Figure 4D)"""

from rs_cae.callbacks.perturbation.callback import PerturbationField

__all__ = ["PerturbationField"]
