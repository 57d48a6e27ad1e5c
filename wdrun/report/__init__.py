"""The report: what runs gave, as one page and its figures."""

from wdrun.report.command import command

__all__ = ["command"]
