"""Containers within a selection: read once, in a stream, by one worker, their members decided on as they come.

A member that is to be embedded goes on with its bytes: it is not fetched again. What earlier runs know of the members
lies in the same unit as the container (see `packing`), so an unchanged container is not opened at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from transforms.elements import ImageObject, PastOutcome, Refusal
from transforms.history import FAILED_BEFORE, GONE, STAGED, UNCHANGED, decide, newest_outcome
from transforms.inputs.carrying import FOLDER, carried
from transforms.inputs.choosing import kind_not_chosen
from transforms.inputs.containers.member import Asked
from transforms.inputs.containers.naming import container_of
from transforms.inputs.containers.reading import read_container
from transforms.inputs.leaving_out import kind_left_out
from transforms.inputs.rules import Rules, Skipped
from transforms.records.columns import ALL, digest
from transforms.records.ledger import READ
from transforms.stores.fetching import FetchError, Policy
from transforms.stores.streaming import described


@dataclass(frozen=True)
class Unpacking:
    """How the containers of a run are read.

    Attributes:
        rules: of the run.
        policy: how often and how long a container is tried, and how large its images may be.
        skipped: called with the name and the kind of what is left out.
    """

    rules: Rules
    policy: Policy
    skipped: Skipped

    def images(self, container: ImageObject) -> Iterator[ImageObject]:
        """The members of a container that are taken, each with its bytes or a `Refusal`.

        Where it breaks or cannot be had, its own row comes last, with the `Refusal` of all the rest.
        """
        rules = self.rules
        columns = tuple(column.name for column in rules.columns if column.name != FOLDER)
        asked = Asked(
            (ALL, *columns) if rules.all_columns else columns,
            rules.image_column,
            self.policy.max_bytes,
            partial(kind_left_out, all_files=rules.all_files),
            self.skipped,
        )
        for image in read_container(container, asked, self.policy, partial(carried, rules=rules)):
            if image.uri == container.uri:
                yield image._replace(columns=self.reading())
            elif kind := kind_not_chosen(image.uri, rules):
                self.skipped(image.uri, kind)
            else:
                yield image

    def described(self, container: ImageObject) -> ImageObject:
        """A container's row, with the version that a manifest did not tell; or with a `Refusal`."""
        try:
            return described(container, self.policy)
        except FetchError as e:
            return container._replace(content=Refusal("fetch", e.error, str(e)), columns=self.reading())

    def reading(self) -> str:
        """What decides which members a container has, and with which columns: as the ledger keeps it of a container."""
        rules = self.rules
        chosen = {
            "all_files": rules.all_files,
            "columns": [list(column) for column in rules.columns],
            "exclude": list(rules.exclude),
            "image_column": rules.image_column,
            "sample": rules.sample,
        }
        return json.dumps(chosen, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def known(
        self,
        container: ImageObject,
        past: Sequence[PastOutcome],
        of_members: Mapping[str, Sequence[PastOutcome]],
        retry_dead_letters: bool,
    ) -> list[str] | None:
        """The decisions on the members of a container that was read before and has not changed; None of any other.

        Args:
            past: of the container itself; it was read to its end, or to where it breaks.
            of_members: by their uris.
        """
        last = newest_outcome(past)
        if last is None or not container.version or last.version != container.version:
            return None
        if last.columns != digest(self.reading()):
            return None
        decisions = [] if last.outcome == READ else [_again(last, retry_dead_letters)]
        for outcomes in of_members.values():
            newest = newest_outcome(outcomes)
            if newest is not None and is_of(newest.version, container.version):
                decisions.append(_again(newest, retry_dead_letters))
            if any(outcome.outcome == STAGED for outcome in outcomes):
                return None
        return decisions if set(decisions) <= {UNCHANGED, FAILED_BEFORE, GONE} else None


def is_of(version: str, container_version: str) -> bool:
    """Whether a member's version is one within that version of its container."""
    return version == container_version or version.startswith(container_version + "/")


def read_again(unpacking: Unpacking, container_uri: str, members: Iterable[ImageObject]) -> Iterator[ImageObject]:
    """Members that came without their bytes, with them: where a shuffle lies between, which carries none."""
    wanted = {image.uri: image for image in members}
    container = unpacking.described(ImageObject(container_uri))
    for found in () if container.content else unpacking.images(container):
        if image := wanted.pop(found.uri, None):
            changed = image.version if image.version != found.version else ""
            yield found._replace(columns=image.columns, listed_version=changed, reason=image.reason)
        if not wanted:
            return
    for image in wanted.values():
        message = f"it is no longer in {container_of(image.uri)}, or cannot be had from there"
        yield image._replace(content=Refusal("fetch", "NotFound", message))


def _again(last: PastOutcome, retry_dead_letters: bool) -> str:
    """The decision on an image of which all is as it was."""
    image = None if last.outcome == "deleted" else ImageObject(last.uri, version=last.version)
    return decide(image, [last], retry_dead_letters=retry_dead_letters)
