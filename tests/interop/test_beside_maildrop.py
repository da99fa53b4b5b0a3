"""Local mail that is not wanted for now, beside Postfix: sendmail ends well, the message waits in the maildrop, mailq
shows it, and a flush tries it again."""

import re
from concurrent.futures import ThreadPoolExecutor

from tests.interop.pair import Side, pair
from tests.system.machine import eventually

MILTER = "non_smtpd_milters = inet:127.0.0.1:1\n"
MAIN_CF = MILTER + "transport_maps = inline:{ other.test=smtp:[127.0.0.1]:@sink@ }\n"
REFUSED = "milter-reject: CONNECT from localhost[127.0.0.1]: 4.7.1 Service unavailable - try again later"


def _refused(side: Side, times: int) -> None:
    eventually(lambda: side.text().count(REFUSED) >= times, f"{side.name}: {side.text()[-3000:]}")


def _story(side: Side) -> list[object]:
    told: list[object] = []
    ran = side.run("sendmail", "-f", "a@b.test", "r@other.test", stdin="Subject: x\n\nbody\n")
    told.append((ran.status, ran.out, ran.err))
    _refused(side, 1)
    (entry,) = side.queue()
    told.append((entry["queue_name"], entry["sender"], entry["recipients"]))
    told.append(re.sub(r"ID +\d+ ", "ID ", side.calm(side.do("mailq"))))
    side.do("postqueue", "-f")
    _refused(side, 2)
    told.append(len(side.queue()))
    main_cf = side.folder / "etc" / "main.cf"
    main_cf.write_text(main_cf.read_text().replace(MILTER, ""))
    side.reload()
    side.do("postqueue", "-f")
    eventually(lambda: side.capture.got, f"{side.name}: {side.text()[-3000:]}", 90)
    eventually(lambda: not side.queue(), side.name)
    told += [len(side.capture.got), side.calm(side.capture.got[0].content.decode())]
    return told


def test_it_waits_in_the_maildrop_and_goes_when_it_is_wanted() -> None:
    with pair(MAIN_CF) as sides, ThreadPoolExecutor(2) as threads:
        theirs, ours = threads.map(_story, sides)
    assert ours == theirs
