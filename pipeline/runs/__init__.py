"""Runs: started, at work, resumed, planned, compacted, kept house for."""
