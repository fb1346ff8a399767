"""YAML that stays as small as it is written: without aliases, of which a few lines make millions of values.

What a text holds may be secret, so of one that does not parse it is told where and why, and nothing that stands there.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.reader import ReaderError

from transforms.stores.secrets import HIDDEN

MOST_CHARACTERS = 1 << 20
DEEPEST = 20
QUOTED = re.compile(r"(['\"])(.*?)\1")
TOKEN = re.compile(r"<[a-z ]+>|\\?.|")  # of YAML itself, or one character


def load_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: it does not parse, or is out of bounds; the text is a part of a sentence.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, more than {MOST_CHARACTERS:,}")
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 0
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"line {line}: aliases are not read")
            if getattr(event, "tag", None):
                raise ValueError(f"line {line}: tags are not read; a text that begins with ! stands in quotes")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"line {line}: nested deeper than {DEEPEST}")
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = ", ".join(part for part in (e.context, e.problem) if part)
        raise ValueError(place + _without_quotes(said)) from None
    except ReaderError as e:
        raise ValueError(f"line {text.count(chr(10), 0, e.position) + 1}: {e.reason}") from None
    except ValueError as e:  # of a number or a date
        raise ValueError(_without_quotes(str(e))) from None


def _without_quotes(sentence: str) -> str:
    """What a parser says, without what it quotes of the text."""
    return QUOTED.sub(lambda quote: quote[0] if TOKEN.fullmatch(quote[2]) else HIDDEN, sentence)
