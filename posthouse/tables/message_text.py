"""The lines of a message as header_checks(5) and body_checks(5) would ask for them: postmap -b, -h, -m.

A logical header (its continuation lines with it) is one key, a body line is one. mime: headers of MIME parts
and of attached messages are headers too; else they are body lines.

Standards: postmap(1); RFC 5322 section 2.2; RFC 2046 sections 5.1 and 5.2.1.
"""

import re
from collections.abc import Iterable, Iterator

NESTING_LIMIT = 100
"""mime_nesting_limit's default: deeper parts are body."""

# RFC 5322 section 2.2: a field name is printable ASCII without the colon; white space before the colon is obsolete.
_FIELD = re.compile(r"[\x21-\x39\x3b-\x7e]+[ \t]*:")
_TYPE = re.compile(r"content-type[ \t]*:\s*([^\s;]+)", re.IGNORECASE)
_BOUNDARY = re.compile(r";\s*boundary\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;]+))", re.IGNORECASE)


def message_keys(lines: Iterable[str], *, header: bool, body: bool, mime: bool) -> Iterator[str]:
    """The keys in the order they stand."""
    boundaries: list[str] = []
    field = ""
    content_type = ""
    boundary = ""
    level = 0
    in_header = True
    for line in lines:
        line = line.rstrip("\n")
        if in_header:
            if field and line[:1] in (" ", "\t"):
                field += "\n" + line
                continue
            if field:
                if header and (level == 0 or mime):
                    yield field
                match = _TYPE.match(field)
                if match:
                    content_type = match[1].lower()
                    found = _BOUNDARY.search(field)
                    boundary = (found[1] or found[2] or "") if found else ""
                field = ""
            found_field = _FIELD.match(line)
            if found_field:
                # White space before the colon is obsolete, and not shown.
                field = found_field[0][:-1].rstrip() + line[found_field.end() - 1 :]
                continue
            in_header = False
            level += 1
            if line and body and level == 1:
                yield ""  # the empty line that is missing between the message's header and body
            if mime and boundary and content_type.startswith("multipart/") and len(boundaries) < NESTING_LIMIT:
                boundaries.append(boundary)
            elif mime and content_type == "message/rfc822" and not line:
                in_header = True
            content_type = boundary = ""
        if mime and not in_header and line.startswith("--"):
            for depth in range(len(boundaries) - 1, -1, -1):
                if line.startswith("--" + boundaries[depth]):
                    closed = line.startswith(f"--{boundaries[depth]}--")
                    del boundaries[depth if closed else depth + 1 :]
                    in_header = not closed
                    break
        if body:
            yield line
    if field and header and (level == 0 or mime):
        yield field
