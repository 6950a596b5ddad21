"""Source text of functions named "module:function": found, read and fingerprinted, not imported."""
