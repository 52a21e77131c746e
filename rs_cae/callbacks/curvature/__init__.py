"""How sharply do trajectories turn, and how straight are they, beside the same steps rearranged? (Figures 3B and 4A)"""

from rs_cae.callbacks.curvature.callback import Curvature

__all__ = ["Curvature"]
