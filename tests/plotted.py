"""What is seen in plotly figures."""

import numpy as np


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def words(figure):
    return " ".join(annotation.text for annotation in figure.layout.annotations).replace("<br>", " ")


def hovered(trace, point):
    """What is seen at a point, as plotly puts it together; formats are left out."""
    text = trace.hovertemplate.removesuffix("<extra></extra>").replace(":.3g", "")
    for name in ("customdata", "meta"):
        held = trace[name] if name == "meta" or trace[name] is None else trace[name][point]
        for place, value in enumerate(held if isinstance(held, (list, tuple)) else [held]):
            text = text.replace(f"%{{{name}[{place}]}}", str(value)).replace(f"%{{{name}}}", str(value))
    for name in ("x", "y", "text"):
        text = text.replace(f"%{{{name}}}", str(trace[name][point]) if trace[name] is not None else "")
    assert "%{" not in text
    return text.split("<br>")


def numbers(values):
    return [float(f"{value:.4g}") for value in np.ravel(values)]
