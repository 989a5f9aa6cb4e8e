"""Pages and plots: one self-contained HTML file that opens without a network."""

from bitwright.report.flame import FLAME_STYLE, Bar, flame
from bitwright.report.page import Page
from bitwright.report.plots import bars, curves, estimator_plot

__all__ = ["FLAME_STYLE", "Bar", "Page", "bars", "curves", "estimator_plot", "flame"]
