"""The program: what a person runs and how a run is put together."""

__version__ = "0.1.0"
