"""A Kubernetes namespace as a step sees it: plain dicts for objects, named errors for faults, retries in bounds."""

from headway.components._shared.kubernetes.client import FIELD_MANAGER, Cluster, in_cluster
from headway.components._shared.kubernetes.faults import OUTAGES, bearing
from headway.components._shared.kubernetes.kinds import Kind
from headway.components._shared.kubernetes.pods import Trouble, trouble_of

__all__ = ["FIELD_MANAGER", "OUTAGES", "Cluster", "Kind", "Trouble", "bearing", "in_cluster", "trouble_of"]
