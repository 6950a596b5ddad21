"""Configs of real data, for a pretrained model; each takes the algorithm and the model."""
