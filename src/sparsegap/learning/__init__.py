"""What learners are made of: the interface, training on active atoms, atoms from a solver's codes."""
