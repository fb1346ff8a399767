"""Whether vectors are good: by themselves, and by what a column says of their images. Read evaluate.py first."""
