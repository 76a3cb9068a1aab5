"""Under which address a serving pod finds a release."""

from __future__ import annotations

from headway.components._shared.errors import HeadwayError
from headway.components._shared.releases import empty_files
from headway.components._shared.storage import local_folder

SCHEMES = ("gs", "s3", "pvc")


def storage_uri(release_uri: str, state_uri: str, seen_as: str | None) -> str:
    """The address of a release's model folder for KServe's storage initializer.

    Args:
        release_uri: The release, below `state_uri`.
        state_uri: The state folder as the step sees it.
        seen_as: The state folder as a serving pod sees it, where that differs.

    Raises:
        HeadwayError: `deployment.storage_unreachable`: no pod can read that address.
    """
    below = release_uri.removeprefix(state_uri.rstrip("/")).strip("/")
    root = root_in_pods(state_uri, seen_as)
    scheme = root.partition("://")[0]
    if local_folder(root) is not None or scheme not in SCHEMES:
        raise HeadwayError(
            "deployment.storage_unreachable",
            "A serving pod cannot read this address.",
            value=root,
            remedy="Give state_uri as gs:// or s3://; for a folder on a mounted volume, say in "
            "serving.kserve.storage_uri what pods call it: pvc://claim/path.",
        )
    return f"{root}/{below}/model"


def root_in_pods(state_uri: str, seen_as: str | None) -> str:
    """What pods call the state folder."""
    root = (seen_as or state_uri).rstrip("/")
    if root.startswith("minio://"):  # what KFP calls its own store; KServe knows the protocol only
        return "s3://" + root.removeprefix("minio://")
    return root


def require_whole(release_uri: str, seen_as: str) -> None:
    """Refuses a release that KServe's storage initializer would not load whole.

    Args:
        release_uri: The release.
        seen_as: Its address for a serving pod.

    Raises:
        HeadwayError: `deployment.empty_file`: from S3, files without content are left out.
    """
    missing = empty_files(release_uri) if seen_as.startswith("s3://") else []
    if missing:
        raise HeadwayError(
            "deployment.empty_file",
            f"KServe loads no empty files from S3, and the model would not be whole: {', '.join(missing)}.",
            value=missing[0],
            remedy="Write a line into each of them, such as a comment, and adopt and evaluate the model again.",
        )


def require_bucket(log_uri: str) -> None:
    """Refuses an inference log where a serving pod, which has no disk of its own, could not write it.

    Raises:
        HeadwayError: `deployment.log_unreachable`.
    """
    if log_uri.partition("://")[0] not in ("gs", "s3"):
        raise HeadwayError(
            "deployment.log_unreachable",
            "A serving pod cannot write its inference log there.",
            value=log_uri,
            remedy="Give serving.log.uri as gs:// or s3://.",
        )
