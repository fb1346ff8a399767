"""What ends a command: errors whose texts are sentences for a person."""

from collections.abc import Sequence

from transforms.records.output_error import OutputError as OutputError
from transforms.stores.secrets import HIDDEN


class RunError(Exception):
    """A run that cannot start or did not publish."""


class RefusedRunError(RunError):
    """A run of which too much failed to be published.

    Attributes:
        errors: the classes of its dead letters, the commonest first.
    """

    def __init__(self, text: str, errors: Sequence[str]):
        super().__init__(text)
        self.errors = errors


class Stopped(KeyboardInterrupt):
    """What this process did was ended by a signal: its first argument, where it is known."""


class ModelError(Exception):
    """A module that cannot be used; of what it or its server calls itself, nothing moves a terminal's cursor."""

    def __init__(self, text: str):
        super().__init__("".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split())))


class ConfigError(Exception):
    """An option that is refused: its name, the value (`secrets.HIDDEN` where it may be one), and what is allowed."""

    def __init__(self, option: str, value: object, allowed: str):
        shown = "" if value == HIDDEN else f"{value!r} is "
        super().__init__(f"{option}: {shown}not allowed: {allowed}")


class MissingError(ConfigError):
    """An option that must be given, and what it is."""

    def __init__(self, option: str, what: str):
        Exception.__init__(self, f"{option} must be given: {what}")
