"""Learners: ways to learn a dictionary, one file each, found by folder scan."""
