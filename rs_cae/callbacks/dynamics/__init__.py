"""How do the vectors move, and how do single units? (Figures 1 and 2)"""

from rs_cae.callbacks.dynamics.callback import Dynamics

__all__ = ["Dynamics"]
