"""What happens to frames before the model: steps, and the writing of input tensors."""
