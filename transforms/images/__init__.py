"""From encoded bytes to upright pixels of the model's size."""

RESIZE_MODES = ("squash", "slim_eval", "fit_crop")  # see `resizing.resize_image`
