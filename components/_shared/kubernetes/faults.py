"""What a refused or failed call means, and what to do about it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes.kinds import Kind

if TYPE_CHECKING:
    from httpx2 import HTTPError
    from lightkube import ApiError

log = logging.getLogger("headway")

OUTAGES = ("kubernetes.unreachable", "kubernetes.failing", "kubernetes.webhook_down")
# A server-side apply with an unknown field is answered 500; to try that again is pointless.
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_LASTING = ("failed to create typed patch object", "field not declared in schema", "failed calling webhook")


@contextmanager
def bearing(doing: str, codes: tuple[str, ...] = OUTAGES) -> Iterator[None]:
    """Goes on with a warning where something that can be done without meets one of these faults; others rise.

    Args:
        doing: What is tried, for the warning.
        codes: Codes of the faults that are borne.
    """
    try:
        yield
    except HeadwayError as error:
        if error.code not in codes:
            raise
        log.warning(f"{doing} did not succeed, and the step goes on: {error.message}")


def is_absence(error: ApiError) -> bool:
    """Whether there is no object of that name (and not no such kind)."""
    return error.status.code == 404 and "could not find the requested resource" not in (error.status.message or "")


def is_passing(error: HTTPError) -> bool:
    """Whether the same call may succeed a little later."""
    status, message = _status(error), str(error)
    if status is None:
        return _UNTRUSTED not in message
    if status == 500 and "failed calling webhook" in message and "connection refused" in message:
        return True  # a webhook that has just been registered, or is being restarted
    return status == 429 or (status >= 500 and not any(text in message for text in _LASTING))


def conflicts_of(error: ApiError) -> list[str]:
    """The fields of an object that others have changed, when an apply was refused for that."""
    causes = (error.status.details.causes if error.status.details else None) or ()
    return [cause.field or "" for cause in causes if cause.reason == "FieldManagerConflict"]


def asked_to_wait_s(error: HTTPError) -> float:
    """How long the server wants to be left alone, by its header Retry-After."""
    told = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "")
    return float(told) if told.isdigit() else 0.0


def fault_of(error: HTTPError, verb: str, kind: Kind, namespace: str, server: str) -> HeadwayError:
    """The named error for a call that was given up."""
    status, said = _status(error), str(error)
    what = f"{verb} {kind.plural}" + (f".{kind.group}" if kind.group else "")
    where = f"in the namespace {namespace}"

    def named(code: str, message: str, remedy: str, value: object = None) -> HeadwayError:
        return HeadwayError(f"kubernetes.{code}", message, value=value, remedy=remedy)

    if status is None and _UNTRUSTED in said:
        return named(
            "certificate",
            f"The certificate of the Kubernetes API at {server} cannot be trusted: {said.rpartition(': ')[2]}.",
            "If it has expired, renew it (kubeadm certs renew apiserver, or your provider's way); if it is unknown, "
            "give the kubeconfig the certificate-authority that signed it, and make sure who answers there.",
        )
    if status is None:
        return named(
            "unreachable",
            f"The Kubernetes API at {server} does not answer: {said or type(error).__name__}.",
            "Check that the API server runs and that the network lets this step reach it.",
        )
    if status == 401:
        return named(
            "unauthorised",
            f"The Kubernetes API at {server} does not accept this step's credentials.",
            "Renew the kubeconfig's token, or look at the pod's service account.",
        )
    if status == 403 and "exceeded quota" in said:
        return named("quota", f"A quota {where} is used up: {said}", "Free what is not needed, or raise the quota.")
    if "admission webhook" in said and "denied the request" in said:
        return named("refused", f"An admission webhook refused to {what}: {said}", "Change what it names.")
    if status == 403:
        return named(
            "forbidden",
            f"This step's account may not {what} {where}.",
            f"Bind it to a Role with the rule {{apiGroups: [{kind.group!r}], resources: [{kind.plural}], "
            f"verbs: [{verb}]}}; the room's role.yaml has all of them.",
            said,
        )
    if status == 404:
        return named(
            "kind_missing",
            f"The cluster does not know {kind.plural}.{kind.group} ({kind.version}).",
            "Install what brings that kind, or use another engine.",
        )
    if status == 409 and verb == "create":
        return named("exists", f"There is already such an object {where}: {said}", "Use it, or take another name.")
    if status == 409:
        return named(
            "conflict",
            f"Somebody else has changed this object {where}: {said}",
            "Make the change a parameter; then give the field back, by deleting the entry of whoever changed it under "
            "managedFields (kubectl edit --show-managed-fields).",
        )
    if "failed calling webhook" in said:
        return named(
            "webhook_down",
            f"The API server could not ask a webhook: {said}",
            "Start the controller that the webhook belongs to again: until then it blocks every such call.",
        )
    if status == 429 or (status >= 500 and is_passing(error)):
        return named(
            "failing",
            f"The Kubernetes API at {server} keeps answering {status} to {what} {where}: {said}",
            "Try again when the API server is well.",
        )
    return named("refused", f"The Kubernetes API refused to {what} {where}: {said}", "Change what it names.")


def _status(error: HTTPError) -> int | None:
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    status = getattr(error, "status", None)
    return int(status.code) if status is not None else None
