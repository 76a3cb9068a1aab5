"""Many models in one step: which windows are due, what each says, and how all of them fare."""
