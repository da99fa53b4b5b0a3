"""What the operator must mend."""


class ConfigError(Exception):
    """A broken configuration. The text is what Postfix says after "fatal: ".

    Warnings that Postfix prints before it gives up are in `warnings`.
    """

    def __init__(self, text: str, warnings: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.text = text
        self.warnings = warnings
