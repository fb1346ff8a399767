"""Beam without what it imports for other runners and stores: there in half the time.

Beam imports, where they are installed, the clients of several clouds and of MongoDB, and its ways to BigQuery. This
program reads and writes stores by itself, so on the local runner none is used. What Beam does not find it does without,
and each can be imported afterwards. pandas, which Beam, Arrow and TensorFlow look for, nothing here makes use of.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from pipeline.options.beam_flags import pairs

LOCAL_NAMES = ("directrunner", "direct", "fnapirunner", "fnapi")
LEFT_OUT = frozenset(
    {
        "apache_beam.io.aws.s3filesystem",
        "apache_beam.io.azure.blobstoragefilesystem",
        "apache_beam.io.gcp.bigquery",
        "apache_beam.io.gcp.gcsfilesystem",
        "apache_beam.io.gcp.gcsio",
        "apache_beam.io.hadoopfilesystem",
        "apitools",
        "bson",  # which MongoDB's client is not looked for without
        "google.cloud.dataflow",
    }
)
WARNS = "apache_beam.io.mongodbio"  # that there is no bson


class _LeavingOut(MetaPathFinder):
    """Finds nothing; refuses what is left out."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas" or (fullname in LEFT_OUT and _beam_is_imported()):
            raise ModuleNotFoundError(f"{fullname} is left out", name=fullname)
        return None


def _beam_is_imported() -> bool:
    """Whether that goes on now: `Pipeline` is what Beam's package defines after all that."""
    return "apache_beam" in sys.modules and not hasattr(sys.modules["apache_beam"], "Pipeline")


_finder = _LeavingOut()


def begin() -> None:
    """From now on Beam is imported without them. For processes of our own alone: others may want all of it."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
        logging.getLogger(WARNS).setLevel(logging.ERROR)


def end() -> None:
    """Whole again."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
        logging.getLogger(WARNS).setLevel(logging.NOTSET)


def settle(beam_args: Sequence[str]) -> None:
    """Ends it where Beam's options name a runner that is not the local one."""
    if names_other_runner(beam_args):
        end()


def names_other_runner(beam_args: Sequence[str]) -> bool:
    """Whether they name a runner that is not the local one."""
    return any(name == "--runner" and value.lower() not in LOCAL_NAMES for name, value in pairs(beam_args))
