"""scikit-learn (BSD-3), given the Gram matrix that its users would precompute."""

from sklearn.decomposition import sparse_encode
from sklearn.linear_model import orthogonal_mp_gram


def omp(x, atoms, k):
    """Orthogonal matching pursuit, signed."""
    gram = atoms @ atoms.T
    return lambda: orthogonal_mp_gram(gram, atoms @ x.T, n_nonzero_coefs=k)


def lasso(x, atoms, penalty):
    """Non-negative lasso by coordinate descent at its default tolerance."""
    gram = atoms @ atoms.T
    return lambda: sparse_encode(x, atoms, gram=gram, algorithm="lasso_cd", alpha=penalty, positive=True, max_iter=1000)
