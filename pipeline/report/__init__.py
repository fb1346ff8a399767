"""A run and its vectors as one page. Read report.py first."""
