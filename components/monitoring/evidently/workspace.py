"""An Evidently workspace in a folder or a bucket: one project a model, one snapshot a window, each written once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from evidently.core.report import Snapshot
from evidently.legacy.utils import NumpyEncoder
from evidently.sdk.models import DashboardModel, DashboardPanelPlot, DashboardTabModel, PanelMetric, ProjectModel
from evidently.sdk.panels import line_plot_panel

from headway.components._shared.storage import open_storage
from headway.components.monitoring.evidently.figures import HeadwayFigure


def add_snapshot(uri: str, model_name: str, snapshot: Snapshot, key: str, measures: Sequence[tuple[str, str]]) -> str:
    """Puts a snapshot into the project of its model; the same window a second time changes nothing.

    Args:
        uri: Of the workspace.
        model_name: The endpoint, after which the project is called.
        snapshot: Of one window.
        key: What makes it this one.
        measures: Column and measure of the panels of a new project.

    Returns:
        Address of the snapshot.
    """
    storage = open_storage(uri)
    project = uuid.uuid5(uuid.NAMESPACE_URL, f"headway/{model_name}")
    place = f"{project}/snapshots/{uuid.uuid5(project, key)}.json"
    storage.create(place, _dumped(snapshot.to_snapshot_model()))
    # A team may have changed the dashboard since.
    storage.create(f"{project}/dashboard.json", _dumped(_dashboard(project, measures)))
    # The project is seen once its metadata is there, so that comes last.
    described = f"Windows of {model_name}, by Headway. Its figures are of all rows, Evidently's of samples."
    storage.create(
        f"{project}/metadata.json", _dumped(ProjectModel(id=project, name=model_name, description=described))
    )
    return f"{storage.uri}/{place}"


def _dashboard(project: uuid.UUID, measures: Sequence[tuple[str, str]]) -> DashboardModel:
    panels = [
        _panel(project, "Share of the features that drifted", [("drifted_share", "")]),
        _panel(project, "How far each feature is from the reference", [(what, column) for column, what in measures]),
        _panel(project, "Rows", [("rows", "")]),
    ]
    tab = DashboardTabModel(id=uuid.uuid5(project, "tab"), title="Drift", panels=[panel.id for panel in panels])
    return DashboardModel(tabs=[tab], panels=panels)


def _panel(project: uuid.UUID, title: str, figures: Sequence[tuple[str, str]]) -> DashboardPanelPlot:
    values = [
        PanelMetric(
            metric=HeadwayFigure.__name__,
            metric_labels={"what": what, "column": column} if column else {"what": what},
            legend=f"{column}: {what}" if column else what,
        )
        for what, column in figures
    ]
    panel = line_plot_panel(title=title, values=values)
    panel.id = uuid.uuid5(project, title)
    return panel


def _dumped(model: Any) -> bytes:
    return json.dumps(model.dict(), cls=NumpyEncoder).encode()
