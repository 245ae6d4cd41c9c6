"""Errors that a user can correct.

Every message is one line that quotes the offending value and names the next step. The command line prints it
and exits with code 2, the backend answers with a 4xx status, Blender shows it in the panel.
"""


class LyraError(Exception):
    """A failure the user can act on; the message says how."""


class InvalidInputError(LyraError, ValueError):
    """What was given cannot be used."""


class EngineNotReadyError(LyraError):
    """The engine lacks weights, a package or hardware on this machine."""


class InUseError(LyraError):
    """Another process is at it just now."""


class DiskFullError(LyraError):
    """There is no room left for what should be written; nothing half-written remains."""


class CancelledError(Exception):
    """The user asked to stop. Not a failure: whole chunks stay, the one under way is dropped."""
