"""The one error a user is meant to read."""


class UserError(Exception):
    """A mistake the user can mend: what was found, where, what was expected, what to do.

    The command line prints the message without a traceback and exits with `exit_code`.

    Args:
        message: complete sentences, several lines if that helps; no trailing newline.
        exit_code: process exit status; 75 (EX_TEMPFAIL) means "unfinished, run me again".
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
