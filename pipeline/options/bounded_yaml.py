"""YAML that stays as small as it is written: without aliases, of which a few lines make millions of values."""

from __future__ import annotations

from typing import Any

import yaml

MOST_CHARACTERS = 1 << 20
DEEPEST = 20


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
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"line {line}: nested deeper than {DEEPEST}")
        return yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise ValueError(" ".join(str(e).split())) from None
