"""Solvers: one file each, found by folder scan. See docs for how to add one."""
