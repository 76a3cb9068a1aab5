"""What is run where retraining was decided."""

from __future__ import annotations

from typing import Any

from headway.components._shared.config import Config


class PipelinesApi(Config):
    """Kubeflow Pipelines.

    Attributes:
        address: Of its API, such as `http://ml-pipeline.kubeflow:8888`, or of its UI.
        namespace: Of the runs, in a multi-user installation.
        experiment: That the runs belong to; made if it is not there. A multi-user installation wants one.
        service_account: Of the runs; by default that of the installation.
        token_file: With a token for the audience `pipelines.kubeflow.org`; by default where Kubeflow's PodDefault
            `access-ml-pipeline` puts it.
    """

    address: str = "http://ml-pipeline.kubeflow:8888"
    namespace: str | None = None
    experiment: str | None = None
    service_account: str | None = None
    token_file: str | None = None


class Retraining(Config):
    """What is run where retraining was decided.

    Attributes:
        pipeline: Its name; in Kubeflow Pipelines the latest version is run.
        parameters: Of the run. `{window_start}`, `{window_end}`, `{label_cutoff}` and `{incident}` in a text stand for
            those of the window that asks; `model_name` and `state_uri` are filled in.
        api: Where it runs; None runs it on this machine, to its end.
    """

    pipeline: str = "delivery"
    parameters: dict[str, Any] = {}
    api: PipelinesApi | None = None
