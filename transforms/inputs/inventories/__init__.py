"""Stores' own listings as files: which are some, and the images that they list."""
