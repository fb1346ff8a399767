"""What a run is told, and what it may be told. No Beam but in beam.py, and no TensorFlow."""
