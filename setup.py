"""Maps the folders components/ and pipelines/ into the package headway; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

ROOTS = ("components", "pipelines")
packages = [f"headway.{root}{suffix}" for root in ROOTS for suffix in ["", *(f".{p}" for p in find_packages(root))]]

setup(
    packages=packages,
    package_dir={f"headway.{root}": root for root in ROOTS},
    package_data={"": ["*.css", "*.md", "py.typed", "schema.json"], "headway.pipelines": ["demos/*/*"]},
)
