"""How long something took, as the mail log says it."""

SIGNIFICANT_DIGITS = 2

_HUNDREDTHS = ["0", *(f"0.{number:02d}".rstrip("0") for number in range(1, 100)), "1"]
"""Delays below a second at the usual resolution: five in each line of a delivery."""


def format_delay(seconds: float, resolution: int = 2) -> str:
    """Seconds with two significant digits, at most `resolution` after the point, no trailing zeros."""
    if seconds < 0.0005:
        return "0"
    if resolution == 2 and seconds < 1:
        return _HUNDREDTHS[int(seconds * 100 + 0.5)]
    digits = resolution
    whole = int(seconds)
    if whole:
        digits = min(resolution, max(SIGNIFICANT_DIGITS - len(str(whole)), 0))
    else:
        # Leading zeros after the point are not significant.
        scale, zeros = seconds * 10, 0
        while scale < 1 and zeros < resolution:
            scale, zeros = scale * 10, zeros + 1
        digits = min(resolution, zeros + SIGNIFICANT_DIGITS)
    unit = 10**digits
    text = f"{int(seconds * unit + 0.5) / unit:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
