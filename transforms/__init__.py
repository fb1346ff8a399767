"""The stages of the pipeline: one PTransform a file, in the order of the data."""
