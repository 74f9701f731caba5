"""Which bytes does a tag stand for today? `make images` asks the registry, and writes the digests down.

`deploy/images.env` has a line for each image, `NAME=tag@sha256:...`, which the Dockerfile and compose take. A
tag is whatever its owner makes of it tomorrow; a digest is these bytes. `make audit` says which image has none
yet, and with --strict, as before a release, that is a failure.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.environment import ROOT, finished

IMAGES = {
    "PYTHON_IMAGE": "python:3.13-slim",
    "REDIS_IMAGE": "valkey/valkey:9-alpine",
    "NGINX_IMAGE": "nginx:1.30-alpine",
}
FILE = ROOT / "deploy" / "images.env"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def unpinned(file: Path = FILE) -> list[str]:
    """Return the images that no digest is known of, or one of another tag."""
    lines = file.read_text().splitlines() if file.exists() else []
    known = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return [tag for name, tag in IMAGES.items() if not _is_pinned(tag, known.get(name, ""))]


def _is_pinned(tag: str, image: str) -> bool:
    name, _, digest = image.partition("@")
    return name == tag and DIGEST.fullmatch(digest) is not None


def ask(tag: str) -> str:
    """Ask the registry for the digest of a tag, for all of its platforms; raises `OSError` where it can't say."""
    command = ["docker", "buildx", "imagetools", "inspect", tag, "--format", "{{.Manifest.Digest}}"]
    done = finished(command, timeout=60)
    digest = done.stdout.strip()
    if done.returncode or DIGEST.fullmatch(digest) is None:
        raise OSError(f"{tag}: {done.stderr.strip() or 'no digest'}")
    return digest


def write(digests: Mapping[str, str], file: Path = FILE) -> None:
    """Write them down."""
    lines = ["# Made by `make images`: what the images' tags stood for when they were tried."]
    lines += [f"{name}={tag}@{digests[tag]}" for name, tag in IMAGES.items()]
    file.write_text("\n".join(lines) + "\n")


def main(ask: Callable[[str], str] = ask, file: Path = FILE) -> int:
    """Write all digests down, or none; return the exit status."""
    try:
        digests = {tag: ask(tag) for tag in IMAGES.values()}
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"the digests can't be found: {error}", file=sys.stderr)
        return 1
    write(digests, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
