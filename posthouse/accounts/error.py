"""What went wrong when an account file was to be changed."""


class EditError(Exception):
    """The change was not made; the text is whole."""
