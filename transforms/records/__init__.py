"""What is written and what crosses shuffles, byte by byte. docs/output-format.md tells the former."""
