"""NOOP, RSET and QUIT.

Standards: RFC 5321 sections 4.1.1.5, 4.1.1.9 and 4.1.1.10.
"""

from posthouse.session.smtp.session import OK, SmtpSession
from posthouse.wire.smtp.reply import Reply

RSET_SYNTAX = Reply(501, "5.5.4", "Syntax: RSET")
BYE = b"221 2.0.0 Bye\r\n"


async def noop(session: SmtpSession, argument: str) -> bytes | Reply:
    """NOOP [anything]."""
    return OK


async def rset(session: SmtpSession, argument: str) -> bytes | Reply:
    """RSET: the transaction is dropped, nothing else."""
    if argument:
        return RSET_SYNTAX
    session.reset()
    return OK


async def quit(session: SmtpSession, argument: str) -> bytes | Reply:
    """QUIT; an argument is let pass, as Postfix does."""
    return BYE
