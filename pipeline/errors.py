"""What ends a command: errors whose texts are sentences for a person."""


class RunError(Exception):
    """A run that cannot start or did not publish."""


class OutputError(Exception):
    """There is nothing to read or verify in an output."""


class ModelError(Exception):
    """A module that cannot be used; of what it or its server calls itself, nothing moves a terminal's cursor."""

    def __init__(self, text: str):
        super().__init__("".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split())))


class ConfigError(Exception):
    """An option that is refused: its name, the value, and what is allowed."""

    def __init__(self, option: str, value: object, allowed: str):
        super().__init__(f"{option}: {value!r} is not allowed: {allowed}")
