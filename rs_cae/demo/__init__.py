"""A trained language model and real text that every install carries, so that nothing need be downloaded."""
