"""Workloads as one would write them by hand in Numba: what compiled specs are to be as fast as.

A module has the name of a workload and a function `step(numbers, sizes, threads)`, which gives the step. They use the
elementary functions of dlc's runtime, for Numba's own do not vectorise; the formulas, the fusion and the choice of
what is kept are worked out by hand, for one workload each. Results and buffers are made once.
"""
