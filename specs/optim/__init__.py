"""Optimizers and schedules: one `.dl` file a topic, `use optim.adam: Adam`."""
