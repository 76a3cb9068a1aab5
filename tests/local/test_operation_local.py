"""The operation of an endpoint of this machine: what every engine promises."""

from tests.operation_cases import OperationCases


class TestOperationOnThisMachine(OperationCases):
    """The cases of every engine."""
