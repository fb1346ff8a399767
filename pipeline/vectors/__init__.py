"""What is done with the vectors of an output: searched, and grouped by how near they are."""
