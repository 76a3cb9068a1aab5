"""The verbs of a store hold over every back end, and faults of the network and the disk lose nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from headway.components._shared.errors import HeadwayError
from headway.components._shared.storage import FolderStorage, Storage, open_storage
from tests.gcs import FaultyProxy, create_bucket, environment, free_port, gcs_server


@contextlib.contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """A real S3 server (moto) with one bucket."""
    pytest.importorskip("moto.server", reason="no S3 server here: install moto[server]")
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    address = f"http://127.0.0.1:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    try:
        with environment(AWS_ENDPOINT_URL=address, **keys):
            import boto3

            boto3.client("s3", endpoint_url=address, region_name="us-east-1").create_bucket(Bucket=bucket)
            yield address
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["folder", "gs", "s3"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path_factory.mktemp("store"))
    elif request.param == "gs":
        with gcs_server("headway-test"):
            yield "gs://headway-test/some/prefix"
    else:
        with s3_server("headway-test"):
            yield "s3://headway-test/some/prefix"


@pytest.fixture
def store(place: str, request: pytest.FixtureRequest) -> Storage:
    return open_storage(f"{place}/{request.node.name.partition('[')[0]}")


class TestEveryStore:
    def test_what_was_written_is_read_back(self, store: Storage) -> None:
        store.write("a/b.json", b"one")
        store.write("a/b.json", b"two")
        assert store.read("a/b.json") == b"two"

    def test_an_absent_object_is_a_named_error(self, store: Storage) -> None:
        with pytest.raises(HeadwayError, match=r"storage.not_found.*There is no such object.*nothing-here"):
            store.read("nothing-here")

    def test_an_absent_object_has_no_stat_and_may_be_deleted(self, store: Storage) -> None:
        assert store.stat("nothing-here") is None
        store.delete("nothing-here")

    def test_create_keeps_the_first_content(self, store: Storage) -> None:
        assert store.create("lock", b"mine")
        assert not store.create("lock", b"yours")
        assert store.read("lock") == b"mine"

    def test_of_many_creators_at_once_exactly_one_wins(self, store: Storage) -> None:
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda n: store.create("race", str(n).encode()), range(8)))
        assert sum(won) == 1
        assert store.read("race") == str(won.index(True)).encode()

    def test_stat_tells_size_time_and_version(self, store: Storage) -> None:
        store.write("x", b"12345")
        stat = store.stat("x")
        assert stat is not None
        assert (stat.key, stat.size_bytes, stat.modified.tzinfo is not None) == ("x", 5, True)
        assert abs(stat.modified.timestamp() - time.time()) < 600
        if store.uri.startswith("gs://"):
            assert stat.generation.isdigit()
            assert stat.checksum.startswith("crc32c:")

    def test_list_gives_a_folder_and_not_its_neighbours(self, store: Storage) -> None:
        for key in ("b/2", "b/1", "b/c/3", "bb/4", "a"):
            store.write(key, b"x")
        assert [s.key for s in store.list("b")] == ["b/1", "b/2", "b/c/3"]
        assert [s.key for s in store.list("b/")] == ["b/1", "b/2", "b/c/3"]
        assert [s.key for s in store.list("a")] == ["a"]
        assert [s.key for s in store.list()] == ["a", "b/1", "b/2", "b/c/3", "bb/4"]
        assert store.list("none") == []

    def test_delete_removes(self, store: Storage) -> None:
        store.write("x", b"1")
        store.delete("x")
        assert store.stat("x") is None

    def test_files_go_up_only_once_and_come_down_whole(self, store: Storage, tmp_path: Path) -> None:
        (tmp_path / "up").write_bytes(os.urandom(9 * 2**20))
        assert store.upload(tmp_path / "up", "big")
        (tmp_path / "other").write_bytes(b"other")
        assert not store.upload(tmp_path / "other", "big")
        store.download("big", tmp_path / "down")
        assert (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()

    def test_a_failed_download_leaves_no_file(self, store: Storage, tmp_path: Path) -> None:
        with pytest.raises(HeadwayError, match=r"storage.not_found"):
            store.download("nothing-here", tmp_path / "down")
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_object_is_an_object(self, store: Storage) -> None:
        assert store.create("empty", b"")
        assert store.read("empty") == b""


class TestGcsUnderFaults:
    @pytest.fixture
    def proxy(self) -> Iterator[FaultyProxy]:
        with gcs_server("headway-test") as address:
            proxy = FaultyProxy(urlsplit(address).port or 0)
            with environment(STORAGE_EMULATOR_HOST=proxy.address):
                yield proxy
            proxy.close()

    @pytest.mark.parametrize("fault", ["503", "cut", "lose_answer"])
    def test_a_spoiled_request_is_tried_again(self, proxy: FaultyProxy, fault: str, tmp_path: Path) -> None:
        store = open_storage("gs://headway-test/x")
        proxy.inject(fault, fault)
        store.write("a", b"content")
        proxy.inject(fault, fault)
        assert store.read("a") == b"content"
        proxy.inject(fault)
        assert [s.key for s in store.list()] == ["a"]
        proxy.inject(fault)
        store.download("a", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == b"content"
        assert proxy.spent == [fault] * 6

    def test_an_answer_cut_in_the_middle_gives_the_whole_content(self, proxy: FaultyProxy, tmp_path: Path) -> None:
        content = os.urandom(3 * 2**20)
        store = open_storage("gs://headway-test/x")
        store.write("a", content)
        proxy.inject("cut_answer")
        store.download("a", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == content
        proxy.inject("cut_answer")
        assert store.read("a") == content
        assert proxy.spent == ["cut_answer"] * 2

    def test_a_creation_whose_answer_was_lost_is_still_ours(self, proxy: FaultyProxy) -> None:
        store = open_storage("gs://headway-test/x")
        proxy.inject("lose_answer")
        assert store.create("lock", b"mine")
        assert not open_storage("gs://headway-test/x").create("lock", b"yours")
        assert proxy.spent == ["lose_answer"]

    def test_a_server_that_stays_down_is_a_named_error(
        self, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("headway.components._shared.storage.gcs.TIMEOUT_S", 1.0)
        proxy.inject(*["503"] * 1000)
        with pytest.raises(HeadwayError, match=r"storage.unreachable.*1 s of retries.*gs://headway-test/x/a"):
            open_storage("gs://headway-test/x").read("a")
        assert 2 < len(proxy.spent) < 20

    def test_a_missing_bucket_is_named(self, proxy: FaultyProxy) -> None:
        with pytest.raises(HeadwayError, match=r"storage.bucket_not_found.*no such bucket.*gs://not-there"):
            open_storage("gs://not-there/x").read("a")
        with pytest.raises(HeadwayError, match=r"storage.bucket_not_found"):
            open_storage("gs://not-there/x").list()
        with pytest.raises(HeadwayError, match=r"storage.bucket_not_found"):
            open_storage("gs://not-there/x").create("a", b"")

    def test_missing_rights_are_named(self, proxy: FaultyProxy) -> None:
        proxy.inject("403")
        with pytest.raises(
            HeadwayError, match=r"storage.forbidden.*roles/storage.objectUser on the bucket headway-test"
        ):
            open_storage("gs://headway-test/x").read("a")


def test_no_google_credentials_is_a_named_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(HeadwayError, match=r"storage.no_credentials.*workload identity"):
        open_storage("gs://headway-test/x").read("a")


def test_a_missing_s3_bucket_is_named() -> None:
    with s3_server("headway-test"), pytest.raises(HeadwayError, match=r"storage.bucket_not_found.*s3://not-there"):
        open_storage("s3://not-there/x").write("a", b"")


@pytest.mark.parametrize("uri", ["ftp://host/x", "https://host/x"])
def test_an_unknown_scheme_is_refused(uri: str) -> None:
    with pytest.raises(HeadwayError, match=r"storage.scheme_unknown"):
        open_storage(uri)


def test_an_address_without_a_bucket_is_refused() -> None:
    with pytest.raises(HeadwayError, match=r"storage.bucket_missing"):
        open_storage("gs:///x")


def test_a_key_may_not_leave_its_folder(tmp_path: Path) -> None:
    with pytest.raises(HeadwayError, match=r"storage.key_outside"):
        FolderStorage(tmp_path / "in").write("../out", b"x")


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_is_a_named_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    store = FolderStorage(tmp_path / place)
    for write in (
        lambda: store.write("a/b", b"x"),
        lambda: store.create("a", b"x"),
        lambda: store.upload(__file__, "a"),
    ):
        with pytest.raises(
            HeadwayError, match=r"storage.write_failed.*Writing failed: (Not a dir|No such|File exists)"
        ):
            write()
    assert store.stat("a") is None
    with pytest.raises(HeadwayError, match=r"storage.not_found"):
        store.read("a")


def test_what_cannot_be_read_for_another_reason_than_being_absent_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    store = FolderStorage(tmp_path)
    for ask in (lambda: store.read("folder"), lambda: store.delete("folder"), lambda: store.stat("x" * 300)):
        with pytest.raises(
            HeadwayError, match=r"storage.unusable.*refuses what was asked: (Is a dir|File name too long)"
        ):
            ask()


def test_a_full_disk_leaves_the_old_content_and_no_piece_of_the_new(tmp_path: Path) -> None:
    code = f"""
import resource
from headway.components._shared.storage import open_storage
store = open_storage({str(tmp_path)!r})
store.write("a", b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
store.write("a", b"x" * 5000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "storage.write_failed" in done.stderr
    assert "nothing half-written was left" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_writer_killed_in_the_middle_leaves_the_old_content(tmp_path: Path) -> None:
    store = FolderStorage(tmp_path)
    store.write("a", b"old")
    code = f"""
import os, signal
from pathlib import Path
from headway.components._shared.storage import written_aside
with written_aside(Path({str(tmp_path / "a")!r})) as aside:
    aside.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [s.key for s in store.list()] == ["a"]
    assert store.read("a") == b"old"


def test_readers_never_see_half_an_object(tmp_path: Path) -> None:
    store, seen = FolderStorage(tmp_path), set()
    store.write("a", b"0" * 100_000)

    def write() -> None:
        for n in range(50):
            store.write("a", str(n % 10).encode() * 100_000)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        content = store.read("a")
        seen.add((len(content), len(set(content))))
    assert seen == {(100_000, 1)}


def test_the_proxy_of_these_tests_passes_on_what_it_is_not_told_to_spoil() -> None:
    with gcs_server() as address:
        proxy = FaultyProxy(urlsplit(address).port or 0)
        create_bucket(proxy.address, "made-through-it")
        with environment(STORAGE_EMULATOR_HOST=address):
            assert open_storage("gs://made-through-it").list() == []
