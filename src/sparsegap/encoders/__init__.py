"""Trained encoders: one file each, found by folder scan."""
