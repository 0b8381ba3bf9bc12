"""The paper's own programs, restated and batched over runs: their data, trainings, scores and arithmetic of cost."""
