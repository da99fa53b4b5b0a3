"""Small messages overtake large ones, but not without end.

As in qmgr(8): every slot_cost deliveries of a large message earn one delivery slot, and a
message with few deliveries may go first when it needs no more slots than were earned, with a
discount and a loan. A message too small to ever earn minimum_slots cannot be overtaken:
taking turns is enough for it. Slots belong to the transport here, not to each message.
"""

from posthouse.schedule.settings import TransportSettings


class DeliverySlots:
    """The slots of one transport."""

    __slots__ = ("_settings", "earned")

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self.earned = 0.0

    def is_large(self, deliveries: int) -> bool:
        """Whether a message of so many deliveries can be overtaken."""
        cost = self._settings.slot_cost
        return cost > 0 and deliveries / cost >= max(self._settings.minimum_slots, 1)

    def delivered(self) -> None:
        """A delivery of a large message was started."""
        self.earned += 1 / self._settings.slot_cost

    def overtake(self, deliveries: int) -> bool:
        """Whether a message of so many deliveries goes first; takes the slots if so."""
        needed = deliveries * (100 - self._settings.slot_discount) / 100
        if needed > self.earned + self._settings.slot_loan:
            return False
        self.earned = max(self.earned - deliveries, -float(self._settings.slot_loan))
        return True
