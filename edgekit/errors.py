"""The errors a user of the kit may see: one sentence on what is wrong, one on the cure."""

from __future__ import annotations


class EdgekitError(Exception):
    """Base of every error the kit raises on purpose.

    Attributes:
        exit_code: what the `edgekit` command returns when this error ends it.
    """

    exit_code = 1


class InputError(EdgekitError):
    """A file, tensor or setting that cannot be used. The message names it and the cure."""

    exit_code = 2


class MissingError(EdgekitError):
    """Something this machine lacks: a package, a device, a permission. The message says how to get it."""

    exit_code = 3
