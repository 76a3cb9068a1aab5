"""The engine `katib`: trials are pods of their own, suggested by a Katib Experiment."""
