"""How fast compiled specs are beside PyTorch and JAX: `python -m benchmarks mlp --batch 64 512`.

Only ratios are meant to be believed: implementations take turns on the same machine, each in a process of its own, and
their results are compared before anything is measured. A workload is one small file in `workloads/`.
"""
