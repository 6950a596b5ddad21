"""Configs that start from a pretrained model; each takes the algorithm and the task."""
