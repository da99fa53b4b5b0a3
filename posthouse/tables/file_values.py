"""Values that name files, and stand for what is in them: `postmap -F`, tls_server_sni_maps.

    key   /etc/key.pem, /etc/certificate.pem

The table holds the files' content, with a line end between two, in base64.

Standards: postmap(1), -F; RFC 4648 section 4.
"""

import base64
from collections.abc import Callable

ReadValue = Callable[[str], str]
"""From what stands in a source to what the table holds. May raise BadFiles."""


class BadFiles(Exception):
    """The files cannot be read; the text says which and why, in Postfix's words."""


def as_written(value: str) -> str:
    """The usual: a value is what stands there."""
    return value


def file_contents(names: str) -> str:
    """The files' content in base64. Raises BadFiles."""
    paths = names.replace(",", " ").split()
    if not paths:
        raise BadFiles(f"empty pathname list: >>{names.strip()}<<'")
    contents: list[bytes] = []
    for path in paths:
        verb = "open"
        try:
            with open(path, "rb", buffering=0) as file:
                verb = "read"
                contents.append(file.readall())
        except OSError as error:
            # A folder can be opened in C; here it is refused at once.
            verb = "read" if isinstance(error, IsADirectoryError) else verb
            raise BadFiles(f"{verb} {path}: {error.strerror}") from error
    return base64.b64encode(b"\n".join(contents)).decode("ascii")
