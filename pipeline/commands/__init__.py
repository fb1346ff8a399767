"""What can be typed after `embed-images`: a command a file, its arguments beside what it does with them."""
