"""Benchmark cases: one file each, a generator of rows, found by folder scan."""
