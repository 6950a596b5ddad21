"""What tests make a config small with: overrides for `config_files.load`."""

SMALL_MODEL = {  # a network that trains in milliseconds
  "model.layers": 1,
  "model.d_model": 16,
  "model.heads": 2,
  "model.kv_heads": 1,
  "model.head_dim": 8,
  "model.ff_dim": 16,
}
