"""recovery: how much of a known truth an encoder and its dictionary recover, what chance gets, and whose error the rest is."""

from sparsegap.recovery.decomposition import decomposition
from sparsegap.recovery.reading import Reading, renamed
from sparsegap.recovery.run import corrected, recovery

__all__ = ["Reading", "corrected", "decomposition", "recovery", "renamed"]
