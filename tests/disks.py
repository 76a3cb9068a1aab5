"""A disk that is full after some bytes: a file system of its own, mounted for one test."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mounts one at `folder`, of a size such as `64k`. Only root can: the test skips for anybody else."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small disk that this test fills")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(
            f"this container's root may not mount the small disk that this test fills: {mounted.stderr.strip()}"
        )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_read_only(disk: Path) -> None:
    """From now on it can be read and not written."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
