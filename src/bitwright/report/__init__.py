"""Pages and plots: one self-contained HTML file that opens without a network."""

from bitwright.report.page import Page
from bitwright.report.plots import bars, curves, estimator_plot

__all__ = ["Page", "bars", "curves", "estimator_plot"]
