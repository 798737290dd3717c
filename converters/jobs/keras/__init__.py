"""Jobs that need Keras and TensorFlow, or write what only those read."""
