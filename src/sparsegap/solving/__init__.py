"""What solvers are made of: feasible points, pursuits, working sets, gradients, paths, and slots for the GPU."""
