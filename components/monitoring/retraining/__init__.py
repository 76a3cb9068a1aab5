"""Has a model trained again when that was decided: by Kubeflow Pipelines, or on this machine."""
