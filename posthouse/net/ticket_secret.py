"""The secret from which the keys of session tickets follow, the same in every process that inherits it.

It goes forward step by step, each the hash of the one before, which is forgotten: who steals one cannot read what was
sent under tickets of earlier steps. (No more than arithmetic here: the master has it, and needs no TLS.)

Standards: RFC 5077 sections 4 and 5.5 (keys, and their renewal).
"""

import hashlib
import hmac

SECRET = 32
"""Bytes of the secret: as many as the hash has."""


class TicketSecret:
    """The secret, and which step it is at."""

    def __init__(self, secret: bytes, step: float, born: float) -> None:
        """`step` seconds after `born` (on the clock that all processes share) the next step begins."""
        assert len(secret) == SECRET
        self._secret = secret
        self.step = step
        self._born = born
        self._number = 0

    def advance(self, now: float) -> int:
        """Go on to the step of this moment; its number."""
        number = int(max(0.0, now - self._born) // self.step)
        while self._number < number:
            self._secret = hashlib.sha256(b"next" + self._secret).digest()
            self._number += 1
        return self._number

    def keys(self, label: str) -> bytes:
        """The keys of one listener at this step: name, HMAC key, cipher key."""
        name, authentic, secret = (
            hmac.digest(self._secret, part + label.encode("utf-8", "surrogateescape"), "sha256")
            for part in (b"name ", b"hmac ", b"aes ")
        )
        return name[:16] + authentic + secret

    def until_next(self, now: float) -> float:
        """Seconds to the next step."""
        return self._born + (self._number + 1) * self.step - now
