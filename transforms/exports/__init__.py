"""What vectors are exported as: one file a format, each told of batches of `records/arrow.py` and nothing of Beam."""
