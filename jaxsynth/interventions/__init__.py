"""Writing into networks: edits of activations, and of parameters."""
