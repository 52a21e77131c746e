"""Teleports: the last token's residual stream set to other states, and where the model takes it from there."""
