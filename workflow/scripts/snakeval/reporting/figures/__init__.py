"""The report's pictures, drawn by Altair: SVG without a browser or a network, Vega-Lite in the page.

`results` and `tradeoff` and `heat` draw, `figure` makes what they draw fit for file and page.
"""

from snakeval.reporting.figures.figure import Figure, library
from snakeval.reporting.figures.heat import Cell, heat_map
from snakeval.reporting.figures.results import Result, intervals, samples, states
from snakeval.reporting.figures.tradeoff import MEMORY, SPEED, Cost, Point, against, front

__all__ = [
    "MEMORY",
    "SPEED",
    "Cell",
    "Cost",
    "Figure",
    "Point",
    "Result",
    "against",
    "front",
    "heat_map",
    "intervals",
    "library",
    "samples",
    "states",
]
