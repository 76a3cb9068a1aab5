"""A state folder that cannot be used is named before anything runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import require_writable
from tests.disks import make_read_only, small_disk


def test_a_new_folder_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    require_writable(str(tmp_path / "a" / "b"))
    require_writable(f"file://{tmp_path}/a/b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize(
    ("place", "reason"), [("file", "File exists"), ("file/below", "Not a directory"), ("/proc/x", "No such file")]
)
def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(HeadwayError, match=rf"state.unusable.*{tmp_path / place} cannot be written: {reason}.*--home"):
        require_writable(str(tmp_path / place))


def test_a_folder_that_may_only_be_read_or_is_full_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        with pytest.raises(OSError, match="No space left"):
            (disk / "filling").write_bytes(bytes(100_000))
        with pytest.raises(HeadwayError, match=r"state.unusable.*disk cannot be written: No space left on device"):
            require_writable(str(disk))
        make_read_only(disk)
        with pytest.raises(HeadwayError, match=r"state.unusable.*disk cannot be written: Read-only file system"):
            require_writable(str(disk))


def test_a_bucket_is_taken_as_it_is_and_asked_for_nothing() -> None:
    code = (
        "import sys; from headway.components._shared.state import require_writable; require_writable('gs://b/state'); "
    )
    code += "assert 'google.cloud.storage' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
