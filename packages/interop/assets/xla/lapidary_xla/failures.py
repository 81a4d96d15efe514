"""Errors that a user can correct: what failed, the location, and the remedy."""

from __future__ import annotations

import sys

# Exit codes are those of the `lapidary` command.
USAGE, DOES_NOT_FIT, NOT_FOUND = 2, 4, 102


class Failure(Exception):
    def __init__(self, code: str, message: str, remedy: str, place: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.code, self.message, self.remedy, self.place, self.exit_code = code, message, remedy, place, exit_code

    def fields(self) -> dict[str, str | int]:
        """The arguments of the constructor, for another process."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy, "place": self.place, "exit_code": self.exit_code}

    def report(self) -> None:
        place = self.place or "run.py"
        print(f"lapidary: error {self.code}: {self.message}\n    place:  {place}\n    remedy: {self.remedy}", file=sys.stderr, flush=True)


def missing_file(path: object, what: str, remedy: str) -> Failure:
    return Failure("LAP_XLA_FILE", f"{what} is missing", remedy, str(path), USAGE)


def log(text: str) -> None:
    """Prints a message on stderr; stdout is reserved for results."""
    print(f"lapidary: {text}", file=sys.stderr, flush=True)
