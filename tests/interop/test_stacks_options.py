"""postconf's options, each alone and any two together, with nothing, a name, a service and an edit behind them: the
usage line, complaints and exit statuses of Postfix and ours."""

from itertools import combinations, product

import pytest

from tests.golden.stacks.stack import written
from tests.interop.differential import REAL, agree, ours, restore, states, theirs

pytestmark = pytest.mark.skipif(
    not (REAL / "postconf").exists(), reason="needs postfix (Debian: apt-get install postfix)"
)

OPTIONS = (
    *("-a", "-A", "-b", "-d", "-e", "-E", "-f", "-F", "-h", "-H", "-l", "-m", "-M", "-n", "-o", "-p", "-P", "-t", "-x"),
    *("-X", "-#", "-Cuser", "-Cnone", "-obiff=yes", "-Tbad", "-Tpublic-key-algorithms", "-T", "-c", "-z", "-?"),
)
NAMES = ((), ("biff",), ("smtp/inet",), ("relay/unix/syslog_name",), ("relay/unix/chroot=n",), ("a=b", "c"))
OURS_TO_SAY = {"-b", "-t"}
"""The words of notices are our own: of these only how they end is compared."""


@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_options_alone_and_two_together(names: tuple[str, ...]) -> None:
    pairs = [(), *((option,) for option in OPTIONS), *combinations(OPTIONS, 2)]
    if names:
        pairs = [pair for pair in pairs if {*pair} & {"-e", "-M", "-F", "-P", "-X"}]
    with written("amavis") as folder:
        before = states(folder)
        for pair in pairs:
            argv = ["postconf", "-c", str(folder), *pair, *names]
            expected = theirs(argv)
            left = states(folder)
            restore(folder, before)
            found = ours(argv)
            after = states(folder)
            restore(folder, before)
            if OURS_TO_SAY & {*pair} and expected.status == found.status == 0:
                continue
            agree(argv, expected, found)
            assert left == after, argv


@pytest.mark.parametrize("letters", ["Mf", "nf", "df", "nx", "Phx", "Fh", "Ph", "Fx", "Mfx", "nfx", "PH", "FH", "PhHf"])
def test_letters_in_one_word(letters: str) -> None:
    with written("mail-in-a-box") as folder:
        for name in ((), ("submission",), ("*/inet",), ("smtp",)):
            argv = ["postconf", "-c", str(folder), f"-{letters}", *name]
            agree(argv, theirs(argv), ours(argv))


EDITS = (
    ("-Me", "smtp/inet=smtp inet n - n - - smtpd -o a=b"),
    ("-M#", "submission/inet"),
    ("-MX", "smtps/inet"),
    ("-Fe", "smtp/inet/chroot=n", "*/unix/private=n"),
    ("-Pe", "submission/inet/smtpd_milters=", "relay/unix/syslog_name=x y"),
    ("-PX", "submission/inet/smtpd_milters", "authclean/unix/none"),
    ("-e", "smtpd_banner=$myhostname ESMTP", "new_name=x"),
    ("-X", "smtp_tls_ciphers", "none"),
    ("-#", "smtp_tls_ciphers", "smtpd_sasl_path"),
)


@pytest.mark.parametrize(("option", "word"), list(product(["", "-f", "-v", "-x", "-h"], range(len(EDITS)))))
def test_edits_of_a_stack(option: str, word: int) -> None:
    with written("mail-in-a-box") as folder:
        before = states(folder)
        argv = ["postconf", "-c", str(folder), *([option] if option else []), *EDITS[word]]
        expected = theirs(argv)
        left = states(folder)
        restore(folder, before)
        found = ours(argv)
        agree(argv, expected, found)
        assert left == states(folder), argv
