"""The demo: a corpus of real photos through the same code as a run."""
