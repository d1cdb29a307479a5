"""Publish what the stages wrote to MLflow: a projection of files, and nothing that a file does not say.

The only unit that imports MLflow, and only within functions.
"""

from lockstep.tracking.reconcile import Report, publish

__all__ = ["Report", "publish"]
