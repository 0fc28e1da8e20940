"""Errors that are part of the interface: one line that names the thing, the reason and the way out."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input or a missing prerequisite. The message is one line, fit to be shown as it is."""


class ItemError(UserError):
    """One item of a stage failed or was refused; it becomes a row of the `rejects` table, never the end of a run.

    `code` is a short snake_case reason (for example ``unreadable``, ``no_face``) that tables group by.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[ItemError], tuple[str, str]]:
        return type(self), (self.code, str(self))


class PassingError(ItemError):
    """An item failed for a cause outside itself (a network, a file that is not there): refused now, tried again later.

    Unlike other refusals it is not kept in the item cache.
    """


class WeightsMissing(UserError):
    """A pretrained file is absent. The message names the file, its source and the command that fetches it."""
