"""Jobs that need PyTorch: modules with weights, TorchScript, exported programs."""
