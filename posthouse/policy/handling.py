"""What policy wants done with a whole message besides accepting it (envelope/handling.py)."""

from posthouse.envelope.handling import NO_HANDLING as NO_HANDLING
from posthouse.envelope.handling import Handling as Handling
