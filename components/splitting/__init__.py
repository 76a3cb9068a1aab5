"""Parts a Dataset so that evaluation is honest."""
