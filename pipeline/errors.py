"""What a run says when it does not come to an end."""


class RunError(Exception):
    """A run that cannot start or did not publish; its text is for a person."""
