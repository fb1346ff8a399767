"""From encoded bytes to upright pixels of the model's size."""

SIMD = "_simd"  # of the modes that `simd` resizes by, not Pillow
RESIZE_MODES = ("squash", "slim_eval", "fit_crop", "squash_simd", "slim_eval_simd", "fit_crop_simd")  # see `resizing`
