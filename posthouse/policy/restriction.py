"""One word of a restriction list, parsed, and how a list is gone through.

A list ends at the first restriction that says anything but DUNNO. Each check leaves its
evidence in its verdict; the restriction under evaluation is kept in the facts meanwhile.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from posthouse.envelope.verdict import DUNNO, Evidence, Verdict
from posthouse.policy.facts import Facts, Subject
from posthouse.tables.table import TableRetry

Check = Callable[[Facts, Subject], Awaitable[Verdict]]


@dataclass(frozen=True, slots=True)
class Restriction:
    """A word, where it was written, and what it does."""

    evidence: Evidence
    check: Check
    warn_only: bool = False
    """warn_if_reject stands before it."""


async def evaluate(restrictions: Sequence[Restriction], facts: Facts, subject: Subject) -> Verdict:
    """What a list says: the first verdict that is not DUNNO."""
    outer = facts.current
    for restriction in restrictions:
        facts.current = restriction.evidence
        if restriction.warn_only:
            facts.warn_only += 1
        try:
            verdict = await restriction.check(facts, subject)
        except TableRetry as retry:
            verdict = facts.table_retry(subject, str(retry))
        finally:
            if restriction.warn_only:
                facts.warn_only -= 1
        if verdict is not DUNNO:
            facts.current = outer
            if outer.parameter and verdict.evidence and verdict.evidence[-1] != outer:
                return Verdict(
                    verdict.action,
                    verdict.code,
                    verdict.status,
                    verdict.text,
                    (*verdict.evidence, outer),
                    verdict.log_class,
                )
            return verdict
    facts.current = outer
    return DUNNO
