"""What a search has found, as one page that needs nothing else: no script, no other file, no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from string import Template

from pipeline.vectors.pictures import Encoded, UnreadableError, read_images, thumbnail
from pipeline.vectors.results import columns_of, shown
from pipeline.vectors.scoring import Hit
from transforms.elements import ImageObject
from transforms.records.arrow import VERSION
from transforms.stores import storage
from transforms.stores.fetching import Policy
from transforms.stores.secrets import redacted

# A page with a picture less is better than one that nobody waits for.
PATIENCE = Policy(retries=2, seconds=10.0, whole_seconds=60.0)
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Images like $name</title>
<style>
:root { color-scheme: light dark; --page: #fff; --card: #eee; --ink: #222; --quiet: #555; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --card: #262d35; --ink: #e8ecf0; --quiet: #aab4bf; } }
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; background: var(--page); color: var(--ink); }
h1, figcaption { overflow-wrap: anywhere; }
main { display: flex; flex-wrap: wrap; gap: 1.5em; }
figure { margin: 0; width: 224px; overflow-wrap: anywhere; }
img, .none { display: block; max-width: 100%; }
.none { background: var(--card); padding: 1em; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .6em; margin: .3em 0; }
dt { color: var(--quiet); } dd { margin: 0; }
</style>
</head>
<body>
<h1>Asked for</h1>
$query
<h2>Nearest, by cosine</h2>
<main>
$found
</main>
</body>
</html>
""")


def write_page(query: str, hits: Sequence[Hit], file: str) -> None:
    """Writes the query and the hits with their pictures, at a local path or in a store.

    Pictures are fetched and decoded once more. One that cannot be is named, with the reason; one that is of a later
    version than its vector is said to be so.

    Args:
        query: the file or URI that was searched for.
        hits: the nearest first.
    """
    asked = ImageObject(storage.normalize(query))
    images = {hit.uri: ImageObject(hit.uri, version=str(hit.told.get(VERSION, ""))) for hit in hits}
    pictures = {asked.uri: "", **dict.fromkeys(images, "")}
    for encoded in read_images(list({asked.uri: asked, **images}.values()), PATIENCE):
        pictures[encoded.source.uri] = _picture(encoded)
    found = (_figure(pictures[hit.uri], hit.uri, _facts(hit)) for hit in hits)
    page = PAGE.substitute(
        name=_escaped(asked.uri),
        query=_figure(pictures[asked.uri], asked.uri),
        found="\n".join(found) or "<p>None.</p>",
    )
    storage.write_bytes(storage.normalize(file), page.encode())


def _picture(encoded: Encoded) -> str:
    uri = _escaped(encoded.source.uri)
    try:
        small = thumbnail(encoded)
    except UnreadableError as e:
        return f'<p class="none">no picture of {uri}: {_escaped(str(e))}</p>'
    data = base64.b64encode(small.jpeg).decode()
    picture = f'<img src="data:image/jpeg;base64,{data}" alt="{uri}" width="{small.width}" height="{small.height}">'
    return picture + ("<p>It has changed since it was embedded.</p>" if encoded.changed else "")


def _facts(hit: Hit) -> dict[str, str]:
    return {"cosine": f"{hit.cosine:.6f}", **{name: shown(value) for name, value in columns_of(hit).items()}}


def _figure(picture: str, uri: str, facts: dict[str, str] | None = None) -> str:
    rows = "".join(f"<dt>{_escaped(name)}</dt><dd>{_escaped(value)}</dd>" for name, value in (facts or {}).items())
    told = f"<dl>{rows}</dl>" if rows else ""
    return f"<figure>{picture}<figcaption>{told}{_escaped(uri)}</figcaption></figure>"


def _escaped(text: str) -> str:
    """As text of a page, without what may be secret; lone surrogates, which UTF-8 has none of, as question marks."""
    return escape(redacted(text).encode(errors="replace").decode())
