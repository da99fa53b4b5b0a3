"""A parameter of main.cf: its kind, its default, its bounds."""


class Parameter:
    """What the catalog says about one name; it does not change. (Written by hand: every command reads the catalog.)

    Kind: string, raw (not expanded when read: it is expanded at run time with other variables),
    bool, int or time. Minimum and maximum 0 mean none; of a string, the minimum is its length.
    """

    __slots__ = ("default", "family", "kind", "maximum", "minimum", "name")

    def __init__(self, name: str, kind: str, default: str, minimum: int, maximum: int, family: str) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.minimum = minimum
        self.maximum = maximum
        self.family = family
