"""The engine `local`: model servers as processes of this machine, behind a router that keeps their common address."""
