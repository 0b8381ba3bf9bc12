"""sparsegap: sparse inference on neural activations."""

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, Encoder, Iterative
from sparsegap.errors import InputError
from sparsegap.fit import fit
from sparsegap.gap import gap
from sparsegap.problem import Certificate, KSparse, Lasso
from sparsegap.solve import Solution, solve

__version__ = "0.1.0"
__all__ = [
    "Amortised",
    "Certificate",
    "Codes",
    "Dictionary",
    "Encoder",
    "InputError",
    "Iterative",
    "KSparse",
    "Lasso",
    "Solution",
    "fit",
    "gap",
    "solve",
]
