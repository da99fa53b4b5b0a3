"""A parameter of main.cf: its kind, its default, its bounds."""

from typing import NamedTuple


class Parameter(NamedTuple):
    """What the catalog says about one name.

    Kind: string, raw (not expanded when read: it is expanded at run time with other variables),
    bool, int or time. Minimum and maximum 0 mean none; of a string, the minimum is its length.
    """

    name: str
    kind: str
    default: str
    minimum: int
    maximum: int
    family: str
