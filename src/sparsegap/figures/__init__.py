"""Figures: one function each from data to a Vega-Lite chart, found by folder scan."""
