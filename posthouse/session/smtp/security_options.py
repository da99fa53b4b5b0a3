"""smtpd_sasl_security_options: which mechanisms their properties rule out.

    noplaintext noactive nodictionary noanonymous    no mechanism with this weakness
    forward_secrecy mutual_auth                      only mechanisms with this strength

Standards: RFC 4422 section 6 (what the properties mean).
"""

from collections.abc import Collection

WEAKNESSES = {
    "noplaintext": "plaintext",
    "noactive": "active",
    "nodictionary": "dictionary",
    "noanonymous": "anonymous",
}
STRENGTHS = {"forward_secrecy": "forward-secrecy", "mutual_auth": "mutual-auth"}


def allowed(properties: Collection[str], options: Collection[str]) -> bool:
    """Whether a mechanism of these properties may be used."""
    for option in options:
        word = option.lower()
        if WEAKNESSES.get(word) in properties:
            return False
        strength = STRENGTHS.get(word)
        if strength is not None and strength not in properties:
            return False
    return True


def unknown_option(options: Collection[str]) -> str | None:
    """The first word that is no security option."""
    return next((word for word in options if word.lower() not in WEAKNESSES and word.lower() not in STRENGTHS), None)
