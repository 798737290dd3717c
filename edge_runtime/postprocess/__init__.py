"""What a model's outputs mean: raw tensors to labels, detections, keypoints, beats."""
