"""What mail server and milter agree on at the start: the version, what the milter may do, what it wants to see.

Standards: none; the bits are libmilter's (SMFIF_… and SMFIP_…).
"""

from enum import IntFlag

from posthouse.wire.milter import command


class Action(IntFlag):
    """What a milter may change at the end of a message (SMFIF_…)."""

    ADD_HEADER = 0x1
    CHANGE_BODY = 0x2
    ADD_RECIPIENT = 0x4
    DELETE_RECIPIENT = 0x8
    CHANGE_HEADER = 0x10
    QUARANTINE = 0x20
    CHANGE_FROM = 0x40
    ADD_RECIPIENT_PAR = 0x80
    SET_MACROS = 0x100


class Protocol(IntFlag):
    """Commands that need not be sent (NO_…) or are not answered (NR_…), and a few abilities (SMFIP_…)."""

    NO_CONNECT = 0x1
    NO_HELO = 0x2
    NO_MAIL = 0x4
    NO_RCPT = 0x8
    NO_BODY = 0x10
    NO_HEADERS = 0x20
    NO_END_OF_HEADERS = 0x40
    NR_HEADERS = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    SKIP = 0x400
    RCPT_REJECTED = 0x800
    """The milter wants to see recipients that were refused already."""
    NR_CONNECT = 0x1000
    NR_HELO = 0x2000
    NR_MAIL = 0x4000
    NR_RCPT = 0x8000
    NR_DATA = 0x10000
    NR_UNKNOWN = 0x20000
    NR_END_OF_HEADERS = 0x40000
    NR_BODY = 0x80000
    LEADING_SPACE = 0x100000
    """Header values come with the blank behind the colon."""


ACTIONS_2 = (
    Action.ADD_HEADER
    | Action.CHANGE_BODY
    | Action.ADD_RECIPIENT
    | Action.DELETE_RECIPIENT
    | Action.CHANGE_HEADER
    | Action.QUARANTINE
)
ACTIONS_6 = ACTIONS_2 | Action.CHANGE_FROM | Action.ADD_RECIPIENT_PAR | Action.SET_MACROS
EVENTS_2 = Protocol(0x7F)
EVENTS_3 = EVENTS_2 | Protocol.NO_UNKNOWN
EVENTS_4 = EVENTS_3 | Protocol.NO_DATA
EVENTS_6 = Protocol(0x1FFFFF)

VERSIONS = {2: EVENTS_2, 3: EVENTS_3, 4: EVENTS_4, 6: EVENTS_6}
"""The versions that are spoken, and the protocol bits that each knows."""

SKIPS = {
    command.CONNECT: (Protocol.NO_CONNECT, Protocol.NR_CONNECT),
    command.HELO: (Protocol.NO_HELO, Protocol.NR_HELO),
    command.MAIL: (Protocol.NO_MAIL, Protocol.NR_MAIL),
    command.RCPT: (Protocol.NO_RCPT, Protocol.NR_RCPT),
    command.DATA: (Protocol.NO_DATA, Protocol.NR_DATA),
    command.UNKNOWN: (Protocol.NO_UNKNOWN, Protocol.NR_UNKNOWN),
    command.HEADER: (Protocol.NO_HEADERS, Protocol.NR_HEADERS),
    command.END_OF_HEADERS: (Protocol.NO_END_OF_HEADERS, Protocol.NR_END_OF_HEADERS),
    command.BODY: (Protocol.NO_BODY, Protocol.NR_BODY),
    command.END_OF_BODY: (Protocol(0), Protocol(0)),
}
"""The bits that say that a command is not sent, and that it is not answered."""
