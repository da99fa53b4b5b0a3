"""Why intake refuses a message, in cleanup's words.

Standards: RFC 3463 section 3; RFC 5321 section 4.2.2.
"""

from posthouse.intake.transaction import Refused

TOO_LARGE = Refused(552, "5.3.4", "Error: message file too big")
WRITE_ERROR = Refused(451, "4.3.0", "Error: queue file write error")
NO_ROOM = Refused(452, "4.3.1", "Insufficient system storage")
TOO_MANY_HOPS = Refused(554, "5.4.0", "Error: too many hops")
NO_RECIPIENTS = Refused(550, "5.1.0", "Error: no recipients specified")
TABLE_TROUBLE = Refused(451, "4.3.0", "Error: queue file write error")
EXPANSION_TROUBLE = Refused(451, "4.6.0", "Alias expansion error")
