"""SPAMS (GPL-3.0): compared with, never imported by the library."""

import numpy as np
import spams


def omp(x, atoms, k):
    """Orthogonal matching pursuit, signed; its own Gram work included, as a user would pay it."""
    columns, dictionary = np.asfortranarray(x.T), np.asfortranarray(atoms.T)
    return lambda: spams.omp(columns, dictionary, L=k, eps=0.0, numThreads=1)


def lasso(x, atoms, penalty):
    """Non-negative lasso by LARS: the mode whose objective is ours."""
    columns, dictionary = np.asfortranarray(x.T), np.asfortranarray(atoms.T)
    return lambda: spams.lasso(columns, D=dictionary, lambda1=penalty, mode=2, pos=True, numThreads=1)
