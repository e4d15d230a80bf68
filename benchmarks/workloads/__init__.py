"""The workloads: each module has a `WORKLOAD`, and its spec beside it where the standard library has none."""
