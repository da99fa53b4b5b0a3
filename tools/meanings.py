"""What each parameter is, in a sentence of ours: tools/meanings.txt, a name and its sentence on a line.

Names that mirror another's (lmtp_ that of smtp_, postscreen_ and tlsproxy_tls_ that of smtpd_, tlsproxy_client_ that
of smtp_tls_) take its sentence, with what it is for behind it.
"""

from functools import cache
from pathlib import Path

FILE = Path(__file__).resolve().parent / "meanings.txt"
MIRRORS = (
    ("lmtp_", "smtp_", "for LMTP"),
    ("postscreen_", "smtpd_", "for postscreen"),
    ("tlsproxy_tls_", "smtpd_tls_", "in the original's TLS proxy"),
    ("tlsproxy_client_", "smtp_tls_", "in the original's TLS proxy"),
)

LMTP_WORDS = (("HELO and EHLO", "LHLO"), ("EHLO", "LHLO"), ("SMTP", "LMTP"), ("smtp_", "lmtp_"))
"""What the sentences of the SMTP client say otherwise of LMTP."""


@cache
def written() -> dict[str, str]:
    """The lines of the file."""
    found = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, sentence = line.partition(" ")
            found[name] = sentence
    return found


def meaning(name: str) -> str:
    """The sentence of a parameter; "" when nobody wrote one."""
    own = written().get(name)
    if own is not None:
        return own
    for prefix, original, what_for in MIRRORS:
        if name.startswith(prefix):
            mirrored = written().get(original + name.removeprefix(prefix))
            if mirrored is not None:
                if prefix == "lmtp_":
                    for words in LMTP_WORDS:
                        mirrored = mirrored.replace(*words)
                return f"{mirrored.rstrip('.')}, {what_for}."
    return ""
