"""What errors of stores mean."""

from __future__ import annotations

import email.utils
import time

import pytest

from transforms.stores import filesystems
from transforms.stores.store_errors import retry_after_seconds


class RefusalError(Exception):
    def __init__(self, retry_after: str):
        super().__init__("429")
        self.headers = {"Retry-After": retry_after}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0", 0.0), ("-5", 0.0), ("soon", 0.0), ("", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after_in_seconds_and_what_cannot_be_one(header: str, seconds: float) -> None:
    assert retry_after_seconds(RefusalError(header)) == seconds


def test_retry_after_as_a_date() -> None:
    header = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 90 < retry_after_seconds(RefusalError(header)) <= 100


def test_retry_after_of_a_store_whose_errors_carry_no_headers() -> None:
    token = filesystems.last_retry_after.set("7")
    assert retry_after_seconds(ValueError("503")) == 7
    filesystems.last_retry_after.reset(token)
    assert retry_after_seconds(ValueError("503")) == 0
