"""The theorem of the amortisation gap, for any encoder: ranks, signs, worst inputs, the best that one linear map can do."""
