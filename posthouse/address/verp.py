"""Variable envelope return paths: a sender of its own for each recipient, so that a notice says whom it is about.

    ann@list.example, "+=", joe@example.net     ->  ann+joe=example.net@list.example

Standards: none; VERP_README of Postfix, after qmail.
"""


def verp_sender(sender: str, delimiters: str, recipient: str) -> str:
    """The sender of the copy for one recipient; both addresses in internal form. The null sender stays."""
    if not sender:
        return ""
    local_part, at, domain = sender.rpartition("@")
    if not at:
        local_part, domain = sender, ""
    whom, parted, where = recipient.rpartition("@")
    who = f"{whom}{delimiters[1]}{where}" if parted else recipient
    return f"{local_part}{delimiters[0]}{who}{at}{domain}"
