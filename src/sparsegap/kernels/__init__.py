"""Compiled kernels on plain arrays. They know nothing of the rest of the library, so every layer may call them."""
