"""fit: train an encoder, a dictionary or both on activations, from a recording or an endless source, resumable to the same bits."""

from sparsegap.fit.request import Progress, Request
from sparsegap.fit.run import fit, fit_all

__all__ = ["Progress", "Request", "fit", "fit_all"]
