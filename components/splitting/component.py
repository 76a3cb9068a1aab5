"""The component `split_data`."""

from typing import Any, Optional

from kfp.dsl import Artifact, Dataset, Input, Output

from headway.components._shared.component import component


@component(image="tabular")
def split_data(
    data: Input[Dataset],
    train_data: Output[Dataset],
    test_data: Output[Dataset],
    proofs: Output[Artifact],
    split: dict[str, Any],
    seed: int = 0,
    state_uri: Optional[str] = None,
) -> None:
    """Parts a dataset into training and test rows and proves that nothing leaks between them.

    A row's part follows from a hash of its id, its group or its time, never from the order of rows, so the same data
    in other shards is split alike. Ends with an error when an id or a group would be in both parts, when a part is
    empty or has one label only, or when a time is missing.

    Args:
        data: Rows with the columns that `split` names.
        split: How to part, see the JSON Schema `Split`: `strategy` (`time`, `group`, `stratified` or `random`; default
            `random`), `test_share` (0 to 1, default 0.2) or for `time` `test_start` (ISO 8601), `time_column`,
            `embargo` (a duration such as `7d`), `group_column`, `target` (rows without a label are set aside and
            counted), `id_column` (default `id`), `duplicates` (`report`, `drop` or `fail`).
        seed: Changes which rows or groups are drawn; a split by time does not depend on it.
        state_uri: Folder or `gs://` or `s3://` prefix where the run's records are kept.

    Returns:
        train_data: Rows to learn from.
        test_data: Rows to evaluate on.
        proofs: JSON: where each row went, ids and groups in both parts (0), time spans, label shares of each part,
            exact duplicates across the parts.
    """
    from headway.components.splitting.split import split_data as run

    run(data, train_data, test_data, proofs, split=split, seed=seed, state_uri=state_uri)
