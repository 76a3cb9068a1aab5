"""The few calls of Kubeflow Pipelines' REST API (v2beta1) that start a run, once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from headway.components._shared.errors import HeadwayError
from headway.components.monitoring.config import PipelinesApi

_TIMEOUT_S = 30.0
_LABEL = 'access-ml-pipeline: "true"'
# Of the client that Kubeflow ships, so that one PodDefault serves both.
TOKEN_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"


class KfpApi:
    """An API server of Kubeflow Pipelines.

    Args:
        settings: Where it is, and what runs there belong to.
    """

    def __init__(self, settings: PipelinesApi) -> None:
        self._settings = settings
        self._root = f"{settings.address.rstrip('/')}/apis/v2beta1"

    def find_run(self, name: str) -> str | None:
        """Id of a run by its name; None where there is none."""
        predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
        found = self._get("runs", filter=json.dumps({"predicates": [predicate]}), **self._namespace())
        runs = [run for run in found.get("runs") or () if run.get("display_name") == name]
        return str(runs[0]["run_id"]) if runs else None

    def start(self, name: str, pipeline: str, parameters: Mapping[str, Any]) -> str:
        """Starts the latest version of a pipeline, and gives the run's id.

        Raises:
            HeadwayError: `retraining.pipeline_unknown`, `retraining.refused`.
        """
        body: dict[str, Any] = {
            "display_name": name,
            "description": "Asked for by Headway's monitoring.",
            "pipeline_version_reference": {"pipeline_id": self._pipeline(pipeline)},
            "runtime_config": {"parameters": dict(parameters)},
        }
        if experiment := self._experiment():
            body["experiment_id"] = experiment
        if self._settings.service_account:
            body["service_account"] = self._settings.service_account
        return str(self._call("POST", "runs", json=body)["run_id"])

    def _pipeline(self, name: str) -> str:
        """Its id: one of the namespace goes before a shared one of that name."""
        spaces: list[dict[str, str]] = [self._namespace(), {}] if self._settings.namespace else [{}]
        for space in spaces:
            predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
            found = self._get("pipelines", filter=json.dumps({"predicates": [predicate]}), **space)
            for each in found.get("pipelines") or ():
                if name in (each.get("name"), each.get("display_name")):
                    return str(each["pipeline_id"])
        raise HeadwayError(
            "retraining.pipeline_unknown",
            f"Kubeflow Pipelines has no pipeline of the name {name!r}.",
            value=name,
            remedy="Upload it (compiled/pipelines/), or give retraining.pipeline the name that it has there.",
        )

    def _experiment(self) -> str | None:
        """Id of the experiment that is named; None leaves it to the server, which multi-user installations refuse."""
        name = self._settings.experiment
        if name is None:
            return None
        predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
        found = self._get("experiments", filter=json.dumps({"predicates": [predicate]}), **self._namespace())
        for each in found.get("experiments") or ():
            if each.get("display_name") == name:
                return str(each["experiment_id"])
        made = self._call("POST", "experiments", json={"display_name": name, **self._namespace()})
        return str(made["experiment_id"])

    def _namespace(self) -> dict[str, str]:
        return {"namespace": self._settings.namespace} if self._settings.namespace else {}

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        return self._call("GET", path, params=parameters)

    def _call(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        token = _token(self._settings)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = requests.request(method, f"{self._root}/{path}", headers=headers, timeout=_TIMEOUT_S, **given)
        except requests.RequestException as error:
            raise HeadwayError(
                "retraining.api_unreachable",
                f"The API of Kubeflow Pipelines does not answer ({type(error).__name__}).",
                value=self._settings.address,
                remedy="Check retraining.api.address, and that this pod may reach it; the next run asks again.",
            ) from None
        if answer.status_code in (401, 403):
            raise self._denied(answer, has_token=bool(token))
        if not answer.ok:
            raise HeadwayError(
                "retraining.refused" if answer.status_code < 500 else "retraining.api_failing",
                f"Kubeflow Pipelines answers {answer.status_code} to {method} {path}: {_said(answer)}",
                value=self._settings.address,
                remedy="Check the parameters of the pipeline and, in a multi-user installation, api.namespace and "
                "api.experiment."
                if answer.status_code < 500
                else "Look at the API server's log; the next run asks again.",
            )
        return dict(answer.json())

    def _denied(self, answer: requests.Response, *, has_token: bool) -> HeadwayError:
        remedy = (
            "Let the account of this run create runs in that namespace (the role kubeflow-pipelines-edit)."
            if has_token
            else f"Give the pod a token for the audience pipelines.kubeflow.org at {TOKEN_FILE}: the pipeline labels "
            f"it {_LABEL}, and the namespace needs the PodDefault access-ml-pipeline that goes with that."
        )
        return HeadwayError(
            "retraining.denied",
            f"Kubeflow Pipelines answers {answer.status_code}{'' if has_token else ' to a request without a token'}: "
            f"{_said(answer)}",
            value=self._settings.address,
            remedy=remedy,
        )


def _token(settings: PipelinesApi) -> str | None:
    """Read anew for each request, since it is replaced while it is in use."""
    place = Path(settings.token_file or os.environ.get(TOKEN_VARIABLE) or TOKEN_FILE)
    return place.read_text().strip() if place.is_file() else None


def _said(answer: requests.Response) -> str:
    try:
        content = answer.json()
        said = content.get("error") or content.get("message") or content.get("error_message") or ""
    except (ValueError, AttributeError):
        said = answer.text
    return str(said).strip()[:300] or "nothing more"
