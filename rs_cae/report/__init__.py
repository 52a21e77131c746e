"""What a person sees of a run: figures and one self-contained ``report.html``."""
