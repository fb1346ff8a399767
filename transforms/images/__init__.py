"""From encoded bytes to upright pixels of the model's size."""
