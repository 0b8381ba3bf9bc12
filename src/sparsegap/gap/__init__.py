"""gap, the main job: how much of an encoder's error is the encoder's, how much the dictionary's, and what better codes cost."""

from sparsegap.gap.question import Plan, Progress, Question
from sparsegap.gap.run import gap

__all__ = ["Plan", "Progress", "Question", "gap"]
