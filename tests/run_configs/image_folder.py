"""Makes the image of a Dockerfile as a folder, on a machine without a container engine: every line of it in a chroot.

    python -m tests.run_configs.image_folder --boot BOOT FOLDER

Run by `make test-dockerfile`, as root. What a Dockerfile stands on cannot be had without an engine: Debian's own
packages of the same release take the place of Python's images, `BOOT` that of Beam's, and an empty file that of
Google's launcher. Mounts are made in namespaces of their own, so none is left behind whatever happens.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "run_configs/dataflow/Dockerfile"
CONFIG = "image.json"  # beside the image's root
# What Python's slim image has besides a minimal Debian, as far as it matters here, and a Python of its minor version.
PACKAGES = "ca-certificates,netbase,tzdata,python3.11,python3.11-venv,python3-distutils"
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
LAUNCHER = "opt/google/dataflow/python_template_launcher"
# Read from the machine's network, as an engine gives it to a build.
NETWORK = ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt")
BUILD_ENVIRONMENT = {"PIP_CERT": NETWORK[1]} | {k: v for k, v in os.environ.items() if k == "PIP_INDEX_URL"}
ENTER = """set -e
root=$1 user=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root$1"; fi
    mount --bind "$1" "$root$1"; shift
done; shift
chroot --userspec="$user" "$root" "$@" # not exec: a change of the user would undo --kill-child
exit 0
"""


class UnknownInstructionError(ValueError):
    """A line of a Dockerfile that this program does not know; its message is the line."""


@dataclass
class Image:
    """An image as a folder, and what a container of it is started with."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    entry_point: list[str] = field(default_factory=list)

    def command(self, arguments: Sequence[str], user: str | None = None, binds: Sequence[str] = ()) -> list[str]:
        """Arguments for a process in the image, with paths of this machine at the same place; its death is theirs."""
        ids, home = self._account(user or self.user)
        environment = [f"{name}={value}" for name, value in {"HOME": home, **self.environment}.items()]
        inside = ["/usr/bin/env", "-i", *environment, *arguments]
        unshare = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
        return [*unshare, "sh", "-c", ENTER, "enter", str(self.root), ids, *binds, "--", *inside]

    def _account(self, user: str) -> tuple[str, str]:
        """The ids and the home of a user's name or number, as an engine looks them up."""
        for line in (self.root / "etc/passwd").read_text().splitlines():
            name, _, uid, gid, _, home, _ = line.split(":")
            if user in (name, uid):
                return f"{uid}:{gid}", home
        raise LookupError(f"no user {user} in {self.root}")

    def save(self) -> None:
        config = {"environment": self.environment, "user": self.user, "entry_point": self.entry_point}
        (self.root.parent / CONFIG).write_text(json.dumps(config))


def load(folder: Path) -> Image:
    """The image that was made in a folder."""
    return Image(folder / "root", **json.loads((folder / CONFIG).read_text()))


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments, continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


class Builder:
    """Carries out one Dockerfile."""

    def __init__(self, folder: Path, context: Path, boot: Path, arguments: dict[str, str]) -> None:
        self.folder, self.context, self.boot, self.given = folder, context, boot, arguments
        self.declared: dict[str, str] = {}
        self.stages: dict[str, Image] = {}
        self.image = Image(folder)

    def build(self, text: str) -> Image:
        """The last stage's image.

        Raises:
            UnknownInstructionError: a line is not known here.
            subprocess.CalledProcessError: a RUN failed.
        """
        for name, rest in instructions(text):
            print(name, rest, flush=True)
            step = getattr(self, f"_{name.lower()}", None)
            if step is None:
                raise UnknownInstructionError(f"{name} {rest}")
            step(rest)
        return self.image

    def _arg(self, rest: str) -> None:
        name, has_default, default = rest.partition("=")
        if has_default:
            self.declared[name] = self.given.get(name, default)
        elif name not in self.declared:  # else declared before the first stage, and taken over
            self.declared[name] = self.given[name]

    def _from(self, rest: str) -> None:
        match = re.fullmatch(r"(\S+)(?: AS (\w+))?", self._with_arguments(rest))
        if match is None:
            raise UnknownInstructionError(f"FROM {rest}")
        stage = match[2] or "root"
        self.image = self.stages[stage] = Image(self.folder / stage)
        self._base(match[1], self.image)

    def _with_arguments(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda name: self.declared[name[1]], text)

    def _base(self, reference: str, image: Image) -> None:
        """What stands in for an image that cannot be had here."""
        found = re.fullmatch(r"([\w./-]+):?([\w.-]*)@sha256:[0-9a-f]{64}", reference)
        if found is None:
            raise UnknownInstructionError(f"FROM {reference}: not by its digest")
        if found[1] == "python":
            assert re.fullmatch(r"3\.11\.\d+-(slim-)?bookworm", found[2]), found[2]
            image.environment = {"PATH": PATH, "LANG": "C.UTF-8"}
            copy = ["cp", "-a", str(self._debian()), str(image.root)]
            subprocess.run(copy, check=True)
        elif found[1] == "apache/beam_python3.11_sdk":
            (image.root / "opt/apache/beam").mkdir(parents=True)
            shutil.copy(self.boot, image.root / "opt/apache/beam/boot")
        elif found[1] == "gcr.io/dataflow-templates-base/python311-template-launcher-base":
            (image.root / LAUNCHER).parent.mkdir(parents=True)
            (image.root / LAUNCHER).touch()
        else:
            raise UnknownInstructionError(f"FROM {reference}")

    def _debian(self) -> Path:
        """A minimal Debian 12 with its Python where Python's images have theirs; made once for a builder."""
        root = self.folder / "debian"
        if not root.exists():
            alone = ["unshare", "--mount", "--propagation=private"]  # since debootstrap mounts, too
            debootstrap = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)]
            done = subprocess.run([*alone, *debootstrap], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise SystemExit(f"debootstrap failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            for name in ("python", "python3", "python3.11"):
                (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3.11")
        return root

    def _run(self, rest: str) -> None:
        built = Image(self.image.root, {**BUILD_ENVIRONMENT, **self.image.environment}, self.image.user)
        subprocess.run(built.command(["/bin/sh", "-c", rest], binds=NETWORK), check=True)

    def _copy(self, rest: str) -> None:
        *sources, target = shlex.split(self._with_arguments(rest))
        origin = self.context
        if sources[0].startswith("--from="):
            origin = self.stages[sources.pop(0).removeprefix("--from=")].root
        if any(word.startswith("--") for word in sources) or not target.startswith("/"):
            raise UnknownInstructionError(f"COPY {rest}")
        goal = self.image.root / target.lstrip("/")
        for source in sources:
            path = origin / source.lstrip("/")
            if path.is_dir():  # its content, not itself
                goal.mkdir(parents=True, exist_ok=True)
                copy = ["cp", "-r", "--preserve=mode,timestamps,links", "--no-target-directory", str(path), str(goal)]
                subprocess.run(copy, check=True)
                continue
            place = goal / path.name if target.endswith("/") or goal.is_dir() else goal
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)

    def _env(self, rest: str) -> None:
        for word in shlex.split(rest):
            name, _, value = word.partition("=")
            self.image.environment[name] = re.sub(r"\$(\w+)", lambda old: self.image.environment[old[1]], value)

    def _user(self, rest: str) -> None:
        self.image.user = rest

    def _entrypoint(self, rest: str) -> None:
        self.image.entry_point = json.loads(rest)  # the form without a shell; the other one is no JSON


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what is there is removed first")
    parser.add_argument("--boot", type=Path, required=True, help="Beam's entry program, which `make boot` builds")
    given = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        sys.exit("needs root, and Debian's package debootstrap")
    folder = given.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    digests = dict.fromkeys(("PYTHON", "PYTHON_SLIM", "BEAM", "LAUNCHER"), "sha256:" + "0" * 64)
    image = Builder(folder, ROOT, given.boot.resolve(), digests).build(DOCKERFILE.read_text())
    image.save()
    for stage in folder.iterdir():
        if stage.is_dir() and stage != image.root:
            shutil.rmtree(stage)


if __name__ == "__main__":
    main()
