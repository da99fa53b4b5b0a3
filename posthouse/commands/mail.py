"""mail, mailx: send a message, or read one's own mail. Manual: mailx(1) of POSIX, and Debian's bsd-mailx.

    mail [-EInv] [-s subject] [-a field] [-c cc] [-b bcc] [-r sender] address ...
    mail [-eHN] [-f [file] | -u user]

With addresses it sends what comes on standard input; at a terminal it asks for the subject, and a
line that is just "." (or the end of input) ends the text. Without addresses it reads the mailbox:
$MAIL, or where local delivery puts this user's mail: an mbox, a Maildir, or the mail system's
store, read over a local socket that shows to each user his own.

Unlike BSD's, messages that were read stay where they are, so that an IMAP client still finds them.

Exit status: 0; 1 for no mail, a wrong option, or a message that could not be handed over (then it
is in ~/dead.letter).
"""

import getopt
import os
import sys

USAGE = """\
usage: mail [-EInv] [-s subject] [-a field] [-c cc] [-b bcc] [-r sender] address ...
       mail [-eHN] [-f [file] | -u user]"""

SENDING = "abcrsE"
"""Options that mean a message is to be sent."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    try:
        options, words = getopt.gnu_getopt(arguments, "a:b:c:Eeif:HInNr:s:u:v", ["help"])
    except getopt.GetoptError as error:
        if error.opt == "f" and arguments[-1:] == ["-f"]:  # -f alone: the user's own mbox file
            options, words = getopt.gnu_getopt([*arguments, "~/mbox"], "a:b:c:Eeif:HInNr:s:u:v")
        else:
            print(f"mail: {error.msg}\n{USAGE}", file=sys.stderr)
            return 1
    given = {name.lstrip("-") for name, _ in options}
    if "help" in given:
        print(USAGE)
        return 0
    if words or given & set(SENDING):
        from posthouse.commands import mail_send

        if not words:
            print(f"mail: you must specify recipients\n{USAGE}", file=sys.stderr)
            return 1
        return mail_send.send(options, words)
    from posthouse.commands import mail_read

    values = dict(options)
    return mail_read.read(
        file=os.path.expanduser(values["-f"]) if "-f" in values else None,
        user=values.get("-u"),
        only_check="e" in given,
        only_headers="H" in given,
        show_headers="N" not in given,
    )
