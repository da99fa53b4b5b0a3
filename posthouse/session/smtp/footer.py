"""smtpd_reject_footer: what is added to every refusal, with the client's data filled in.

"\\c" in front continues the last line of the reply; else the footer is a line of its own, with
the reply's code and status. "\\n" parts further lines.
"""

import re
from collections.abc import Callable, Mapping

from posthouse.wire.smtp.reply import Reply

_MACRO = re.compile(
    r"\$(?:(\$)|\{([A-Za-z0-9_]+)\}|\(([A-Za-z0-9_]+)\)|([A-Za-z0-9_]+)"
    r"|\{([A-Za-z0-9_]+)([?:])([^{}]*)\}|\{([A-Za-z0-9_]+)\?\{([^{}]*)\}(?::\{([^{}]*)\})?\})"
)


def expand_footer(footer: str, values: Mapping[str, str], warn: Callable[[str], None]) -> str:
    """The footer with its $names filled in; an unknown one is empty, with a warning."""

    def fill(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        name = match[2] or match[3] or match[4] or match[5] or match[8]
        if name not in values:
            warn(f'unknown macro name "{name}" in expansion request')
        found = values.get(name, "")
        if match[6]:  # ${name?text} and ${name:text}
            return _MACRO.sub(fill, match[7]) if bool(found) == (match[6] == "?") else ""
        if match[8]:  # ${name?{text}:{text}}
            return _MACRO.sub(fill, (match[9] if found else match[10]) or "")
        return found

    return _MACRO.sub(fill, footer)


def add_footer(reply: Reply, footer: str) -> Reply:
    """The reply with an expanded footer."""
    if footer.startswith("\\c"):
        return Reply(reply.code, reply.status, reply.text + footer[2:].replace("\\n", "\n"))
    return Reply(reply.code, reply.status, f"{reply.text}\n{footer}".replace("\\n", "\n"))
