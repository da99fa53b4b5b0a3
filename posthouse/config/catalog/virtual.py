"""Virtual aliases and the virtual delivery agent.

Each row: name, kind, default, minimum, maximum (0: none; of a string, its length).
"""

PARAMETERS: tuple[tuple[str, str, str, int, int], ...] = (
    ("virtual_alias_address_length_limit", "int", "1000", 1, 0),
    ("virtual_alias_domains", "string", "$virtual_alias_maps", 0, 0),
    ("virtual_alias_expansion_limit", "int", "1000", 1, 0),
    ("virtual_alias_maps", "string", "$virtual_maps", 0, 0),
    ("virtual_alias_recursion_limit", "int", "1000", 1, 0),
    ("virtual_delivery_status_filter", "string", "$default_delivery_status_filter", 0, 0),
    ("virtual_gid_maps", "string", "", 0, 0),
    ("virtual_mailbox_base", "string", "", 0, 0),
    ("virtual_mailbox_domains", "string", "$virtual_mailbox_maps", 0, 0),
    ("virtual_mailbox_limit", "int", "51200000", 0, 0),
    ("virtual_mailbox_lock", "string", "fcntl, dotlock", 1, 0),
    ("virtual_mailbox_maps", "string", "", 0, 0),
    ("virtual_minimum_uid", "int", "100", 1, 0),
    ("virtual_transport", "string", "virtual", 1, 0),
    ("virtual_uid_maps", "string", "", 0, 0),
)
