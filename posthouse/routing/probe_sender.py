"""address_verify_sender: whom probes come from, and whether an address is that.

With address_verify_sender_ttl its local part changes as time goes by, so that nobody can learn it. Mail to the one
before, the one of now and the next is taken: clocks differ, and who answers takes a while.

Standards: none; Postfix's ADDRESS_VERIFICATION_README.
"""

from posthouse.address.address import split_address

# Postfix's digits without vowels, so that no word comes of a number.
DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZ"


def probe_sender(sender: str, ttl: int, now: float) -> str:
    """The sender of probes now."""
    if sender in ("", "<>"):
        return ""
    if not ttl:
        return sender
    local_part, domain = split_address(sender)
    number, text = int(now) // ttl, ""
    while number:
        number, digit = divmod(number, len(DIGITS))
        text = DIGITS[digit] + text
    return f"{local_part}{text}" + (f"@{domain}" if domain else "")


def is_probe_sender(address: str, sender: str, ttl: int, now: float) -> bool:
    """Whether the address is the sender of probes, of now or nearly so. A sender without domain stands for ours."""
    if sender in ("", "<>"):
        return False
    local_part, domain = split_address(sender)
    given, at = split_address(address)
    if not given.lower().startswith(local_part.lower()) or (domain and at.lower() != domain.lower()):
        return False
    times = (max(0.0, now - ttl), now, now + ttl) if ttl else (now,)
    return any(given.lower() == probe_sender(local_part, ttl, time).lower() for time in times)
