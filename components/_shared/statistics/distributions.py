"""Quantiles and probabilities of the distributions that intervals and tests need."""

from __future__ import annotations


def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, probability))


def t_probability(value: float, degrees_of_freedom: float) -> float:
    """Distribution function of Student's t distribution."""
    from scipy.special import stdtr

    return float(stdtr(degrees_of_freedom, value))


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(probability))
