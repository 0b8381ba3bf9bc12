"""What a person did wrong, in one sentence."""


class InputError(ValueError):
    """Input that cannot be used. The message is one sentence that names the offending value and what is allowed.

    The command line prints it as `error: ...` and exits with status 2.
    """
