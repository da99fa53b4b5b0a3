"""What is wrong with a command's grammar."""


class ImapSyntaxError(Exception):
    """The peer sent what RFC 3501 section 9 does not allow, or more than a named limit. The text is for the BAD."""


class ImapNameError(ImapSyntaxError):
    """A mailbox name that is none: a well-formed command that cannot be done. The text is for the NO."""
