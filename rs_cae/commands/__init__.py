"""What stands between the command line's words and a run."""
