"""What is said when an output does not hold what was asked for."""


class OutputError(Exception):
    """An output, or a file of it, that is not what runs write; its text is one sentence that names it."""


class UnreadableError(OutputError):
    """A file of an output that is there and may not be read, whatever it says."""
