"""Folders that appear whole or not at all, whoever is killed, runs out of disk, or writes at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from headway.components._shared.errors import HeadwayError


@contextlib.contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A folder to fill that gets its name, replacing what was there, only when everything inside is written.

    Raises:
        HeadwayError: `data.write_failed`.
    """
    target = Path(path)
    try:
        with folder_aside(target) as aside:
            yield aside
            put_in_place(aside, target)
    except OSError as error:
        raise write_failed(target, error) from error


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for this user's eyes only; what killed steps left of theirs is removed first."""
    with folder_aside(Path(tempfile.gettempdir()) / f"headway-{os.getuid()}", mode=0o700) as folder:
        yield folder


@contextlib.contextmanager
def folder_aside(target: Path, mode: int = 0o755) -> Iterator[Path]:
    """An empty folder beside the target, removed at the end unless it was put in place.

    Those that killed writers left are removed first; those of living ones are locked and stay.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    aside, handle = _locked_folder(target, mode)
    try:
        yield aside
    finally:
        os.close(handle)
        shutil.rmtree(aside, ignore_errors=True)


def put_in_place(aside: Path, target: Path) -> None:
    """Gives a complete folder its name; of two writers at the same time each leaves a whole one, the last one stays."""
    with folder_aside(target) as old:
        for attempt in range(100):
            with contextlib.suppress(FileNotFoundError):
                target.replace(old / str(attempt))
            try:
                aside.replace(target)
            except OSError:
                if not target.exists() or attempt == 99:
                    raise
            else:
                return


def write_failed(path: Path, error: Exception) -> HeadwayError:
    """The error of a disk that is full or may not be written."""
    reason = error.strerror if isinstance(error, OSError) else None
    return HeadwayError(
        "data.write_failed",
        f"The dataset could not be written: {reason or str(error).rpartition('IO error: ')[2]}.",
        value=str(path),
        remedy="Free space or choose another place; nothing half-written was left.",
    )


def _locked_folder(target: Path, mode: int) -> tuple[Path, int]:
    """A new folder and the handle that locks it; another one if a sweep was quicker than the lock."""
    while True:
        aside = Path(tempfile.mkdtemp(prefix=f".aside-{target.name}-", dir=target.parent))
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(aside, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if aside.exists():
                aside.chmod(mode)
                return aside, handle
            os.close(handle)


def _sweep(target: Path) -> None:
    """Removes what killed writers of the same folder left: the kernel drops a lock with the process that held it."""
    for left in target.parent.glob(f".aside-{glob.escape(target.name)}-*"):
        # Gone by now, of a living writer, or of another user: none of these is for this one to remove.
        with contextlib.suppress(FileNotFoundError, BlockingIOError, PermissionError):
            handle = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)
