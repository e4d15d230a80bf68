"""Layers: one `.dl` file a topic, `use nn.linear: Linear`."""
