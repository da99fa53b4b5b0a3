"""Tables that ask a database, beside Postfix's own clients: the same configuration files, servers and keys for both.

The servers are MariaDB, PostgreSQL, slapd and memcached, private ones in a temporary folder.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from tests.interop.database_servers import MARIADB, MEMCACHED, POSTGRES, SLAPD, mariadb, memcached, postgres, slapd
from tests.system.machine import COMMANDS

POSTFIX = Path("/usr/sbin/postmap")
KINDS = ("mysql", "pgsql", "sqlite", "ldap", "memcache")


def _types() -> set[str]:
    if not POSTFIX.exists():
        return set()
    return set(subprocess.run(["/usr/sbin/postconf", "-m"], capture_output=True, text=True, check=False).stdout.split())


pytestmark = pytest.mark.skipif(
    not ({*KINDS} - {"memcache"} <= _types() and MARIADB and POSTGRES and SLAPD and MEMCACHED),
    reason="Debian's postfix-mysql, postfix-pgsql, postfix-sqlite, postfix-ldap, mariadb-server, postgresql, slapd and"
    " memcached are not all installed",
)

ROWS = """\
('joe@example.com','joe@host.example',1), ('list@example.com','a@x.example',2), ('list@example.com','b@y.example',3),
('empty@example.com','',4), ('null@example.com',NULL,5), ('o''hara@example.com','quote@x.example',6),
('grün@example.com','ümlaut@x.example',8), ('bare','barevalue',9), ('example.com','dom',10), ('100%','percent',11)"""

MYSQL = f"""\
SET NAMES utf8mb4;
CREATE DATABASE mail CHARACTER SET utf8mb4;
CREATE TABLE mail.aliases (mailbox VARCHAR(200), goto VARCHAR(400), n INT);
INSERT INTO mail.aliases VALUES {ROWS.replace(chr(10), " ")}, ('back\\\\slash','slash',12);
CREATE USER 'reader'@'%' IDENTIFIED BY 'pass word';
GRANT ALL ON mail.* TO 'reader'@'%';
CREATE USER 'reader'@'localhost' IDENTIFIED BY 'pass word';
GRANT ALL ON mail.* TO 'reader'@'localhost';
CREATE DEFINER='reader'@'%' PROCEDURE mail.lookup(IN p VARCHAR(200)) SELECT goto FROM mail.aliases WHERE mailbox=p;
CREATE DEFINER='reader'@'%' PROCEDURE mail.nothing(IN p VARCHAR(200)) SET @x = 1;
"""

PGSQL = f"""\
CREATE TABLE aliases (mailbox TEXT, goto TEXT, n INT);
INSERT INTO aliases VALUES {ROWS}, ('back\\slash','slash',12);
CREATE FUNCTION lookup(p TEXT) RETURNS SETOF TEXT LANGUAGE SQL AS 'SELECT goto FROM aliases WHERE mailbox = p';
CREATE USER reader PASSWORD 'pass word';
GRANT SELECT ON aliases TO reader;
"""

LDIF = """\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: uid=joe,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: joe
cn: Joe
sn: Doe
mail: joe@example.com
mail: joe.doe@example.com
description: joe@host.example

dn: uid=ann,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: ann
cn: Ann (star*)
sn: Star
mail: ann@example.com
description: ann@host.example
description: ann2@host.example
title: terminal@host.example

dn: cn=group,dc=example,dc=com
objectClass: groupOfNames
objectClass: extensibleObject
cn: group
mail: group@example.com
member: uid=joe,ou=people,dc=example,dc=com
member: uid=ann,ou=people,dc=example,dc=com
description: groupvalue

dn: cn=url,dc=example,dc=com
objectClass: groupOfNames
objectClass: extensibleObject
cn: url
mail: url@example.com
member: cn=none,dc=example,dc=com
labeledURI: ldap:///ou=people,dc=example,dc=com?mail?sub?(uid=*)

dn: cn=loop,dc=example,dc=com
objectClass: groupOfNames
objectClass: extensibleObject
cn: loop
mail: loop@example.com
member: cn=loop,dc=example,dc=com
"""


@dataclass(frozen=True, slots=True)
class House:
    """Where everything is."""

    folder: Path
    places: dict[str, str]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    folder = Path(tempfile.mkdtemp(prefix="posthouse-databases-"))
    folder.chmod(0o755)
    (folder / "main.cf").write_text("compatibility_level=3.6\nmyhostname=h.test\n")
    connection = apsw.Connection(str(folder / "file.db"))
    connection.execute("CREATE TABLE aliases (mailbox, goto, n)")
    connection.execute(f"INSERT INTO aliases VALUES {ROWS}, ('back\\slash', 'slash', 2.5), ('blob', x'414200', 1e20)")
    connection.close()
    with ExitStack() as stack:
        sql = stack.enter_context(mariadb(folder / "mysql", MYSQL))
        pg = stack.enter_context(postgres(folder / "pgsql", PGSQL))
        directory = stack.enter_context(slapd(folder / "ldap", LDIF))
        cache = stack.enter_context(memcached(folder / "memcache"))
        login = "user = reader\npassword = pass word\n"
        yield House(
            folder,
            {
                "mysql": f"hosts = 127.0.0.1:{sql.port}\n{login}dbname = mail\n",
                "mysql-socket": f"hosts = 127.0.0.1:1 unix:{sql.socket}\n{login}dbname = mail\n",
                "mysql-options": f"hosts = 127.0.0.1:{sql.port}\noption_file = {folder}/my.cnf\ndbname = mail\n",
                "pgsql": f"hosts = 127.0.0.1:{pg.port}\n{login}dbname = postgres\n",
                "pgsql-socket": f"hosts = unix:{pg.socket.parent}\n{login}dbname = postgres\n",
                "pgsql-uri": f"hosts = postgresql://reader:pass%20word@127.0.0.1:{pg.port}/postgres\ndbname = x\n",
                "sqlite": f"dbpath = {folder}/file.db\n",
                "ldap": f"server_host = 127.0.0.1:{directory.port}\nsearch_base = dc=example,dc=com\n",
                "ldap-two": f"server_host = 127.0.0.1:1 127.0.0.1:{directory.port}\nsearch_base = dc=example,dc=com\n",
                "ldap-socket": f"server_host = ldapi://{str(directory.socket).replace('/', '%2F')}\n"
                "search_base = dc=example,dc=com\n",
                "ldap-bare": f"server_host = ldap://127.0.0.1:{directory.port}\n",
                "memcache": f"memcache = inet:127.0.0.1:{cache.port}\n",
                "memcache-socket": f"memcache = unix:{cache.socket}\n",
            },
        )
    shutil.rmtree(folder)


def both(house: House, spec: str, keys: str, *, one_key: bool = False) -> tuple[list[str], list[str]]:
    """Status, output and complaints of Postfix's postmap and of ours."""
    results: list[list[str]] = []
    for command in (POSTFIX, COMMANDS / "postmap"):
        argument, text = (keys, "") if one_key else ("-", keys)
        done = subprocess.run(
            [str(command), "-c", str(house.folder), "-q", argument, spec],
            input=text.encode(), capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        said = done.stderr.decode()
        # What the library adds at the end of its words, and errno's words of the moment.
        said = re.sub(r"\?$", "", said, flags=re.MULTILINE)
        said = re.sub(r"query error.*", "query error", said)
        results.append([str(done.returncode), done.stdout.decode(), said])
    return results[0], results[1]


ADDRESSES = """\
joe@example.com
JOE@Example.COM
list@example.com
empty@example.com
null@example.com
o'hara@example.com
grün@example.com
back\\slash
100%
bare
example.com
@example.com
joe@
a@b..c
x@sub.example.com
none

"""
BY_KEY = "query = SELECT goto FROM aliases WHERE mailbox = '%s'\n"
TWO_COLUMNS = "query = SELECT goto, n FROM aliases WHERE mailbox = '%s'\n"

QUERIES = [
    BY_KEY,
    "query = SELECT goto FROM aliases WHERE mailbox = '%u@%d'\n",
    "query = SELECT goto FROM aliases WHERE mailbox LIKE '%%%1' AND mailbox = '%S'\n",
    "query = SELECT '%1-%2', '%U', '%D'\n",
    BY_KEY + "result_format = <%s>\n",
    BY_KEY + "result_format = %u at %d for %U at %D of %1\n",
    BY_KEY + "result_format = %u%%\n",
    BY_KEY + "domain = example.com\n",
    BY_KEY + "domain = inline:{example.com=x}\n",
    BY_KEY + "domain = !example.com, static:all\n",
    "table = aliases\nselect_field = goto\nwhere_field = mailbox\nadditional_conditions = AND n < 3\n",
]


@pytest.mark.parametrize("kind", ["mysql", "pgsql", "sqlite"])
@pytest.mark.parametrize("query", range(len(QUERIES)))
def test_sql_answers_are_postfixs(house: House, kind: str, query: int) -> None:
    path = house.folder / f"{kind}-{query}.cf"
    path.write_text(house.places[kind] + QUERIES[query])
    keys = ADDRESSES
    if kind == "pgsql":
        keys = keys.replace("grün@example.com\n", "")  # Postfix 3.7 tells PostgreSQL that UTF-8 is LATIN1
    real, ours = both(house, f"{kind}:{path}", keys)
    assert real == ours


@pytest.mark.parametrize(
    ("place", "more", "key", "found"),
    [
        ("mysql", BY_KEY, "joe@example.com", "joe@host.example"),
        ("mysql", BY_KEY, "grün@example.com", "ümlaut@x.example"),
        ("mysql-socket", BY_KEY, "joe@example.com", "joe@host.example"),
        ("mysql", TWO_COLUMNS, "joe@example.com", "joe@host.example,1"),
        ("mysql", "query = CALL lookup('%s')\n", "joe@example.com", "joe@host.example"),
        ("mysql", "query = CALL nothing('%s')\nrequire_result_set = no\n", "joe@example.com", None),
        ("mysql", "query = CALL nothing('%s')\n", "joe@example.com", None),
        ("mysql", BY_KEY + "expansion_limit = 1\n", "list@example.com", None),
        ("mysql", "query = SELECT nosuch\n", "x", None),
        ("mysql", "query = SELECT 1.50, true, CAST(1.5 AS DOUBLE), 1e20, x'4100', 'é'\n", "x", "1.50,1,1.5,1e20,A,é"),
        ("mysql", BY_KEY + "password = wrong\n", "x", None),
        ("pgsql", BY_KEY, "joe@example.com", "joe@host.example"),
        ("pgsql-socket", BY_KEY, "joe@example.com", "joe@host.example"),
        ("pgsql-uri", BY_KEY, "joe@example.com", "joe@host.example"),
        ("pgsql", "select_function = lookup\n", "joe@example.com", "joe@host.example"),
        ("pgsql", TWO_COLUMNS, "joe@example.com", "joe@host.example,1"),
        ("pgsql", "query = SELECT nosuch\n", "x", None),
        ("pgsql", "query = SET x.y = 1\n", "x", None),
        ("pgsql", "query = SELECT 1; SELECT 2\n", "x", "2"),
        ("pgsql", "query = SELECT '%s', E'%s', 1.50, true\n", "a'b\\\\c", "a'b\\\\c,a'b\\c,1.50,t"),
        ("pgsql", BY_KEY + "expansion_limit = 1\n", "list@example.com", None),
        ("sqlite", "query = SELECT n FROM aliases WHERE mailbox = '%s'\n", "blob", "1.0e+20"),
        ("sqlite", "query = SELECT goto FROM aliases WHERE mailbox = '%s'\n", "blob", "AB"),
        ("sqlite", TWO_COLUMNS, "joe@example.com", "joe@host.example"),
        ("sqlite", "query = SELECT ';%s'; SELECT 2\n", "x", ";x"),
    ],
)  # fmt: skip
def test_single_answers_are_postfixs(house: House, place: str, more: str, key: str, found: str | None) -> None:
    kind = place.partition("-")[0]
    path = house.folder / "single.cf"
    text = house.places[place]
    if "password" in more:
        text = text.replace("password = pass word\n", "")
    path.write_text(text + more)
    real, ours = both(house, f"{kind}:{path}", key, one_key=True)
    assert real == ours
    assert ours[:2] == (["1", ""] if found is None else ["0", f"{found}\n"])


def test_an_option_file_may_hold_user_and_password(house: House) -> None:
    # Postfix 3.7 takes its own empty password for one that is set, and is refused.
    (house.folder / "my.cnf").write_text("[client]\nuser=reader\npassword='pass word'\n")
    path = house.folder / "options.cf"
    path.write_text(house.places["mysql-options"] + BY_KEY)
    _, ours = both(house, f"mysql:{path}", "joe@example.com", one_key=True)
    assert ours == ["0", "joe@host.example\n", ""]


MAIL = "query_filter = (mail=%s)\nresult_attribute = description\n"
PEOPLE = """\
joe@example.com
Joe.Doe@example.com
ann@example.com
group@example.com
url@example.com
none@example.com
a*@example.com
*
x(y)\\
joe
@example.com

"""

SEARCHES = [
    ("ldap", MAIL),
    ("ldap", MAIL + "bind = no\n"),
    ("ldap-two", MAIL),
    ("ldap-socket", MAIL),
    ("ldap", MAIL + "version = 2\n"),
    ("ldap", MAIL + "bind = simple\nbind_dn = cn=admin,dc=example,dc=com\nbind_pw = secret\n"),
    ("ldap", MAIL + "special_result_attribute = member\n"),
    ("ldap", "query_filter = (mail=%s)\nspecial_result_attribute = labeledURI\nresult_attribute = mail\n"),
    ("ldap", "query_filter = (mail=%s)\nspecial_result_attribute = labeledURI member\nresult_attribute = cn\n"),
    ("ldap", "query_filter = (mail=%s)\nspecial_result_attribute = member\nresult_attribute =\n"
     "leaf_result_attribute = description\n"),
    ("ldap", MAIL + "special_result_attribute = member\nterminal_result_attribute = title\n"),
    ("ldap", MAIL + "special_result_attribute = member\nterminal_result_attribute = title\n"
     "leaf_result_attribute = mail\n"),
    ("ldap", MAIL + "result_format = <%s %u %d %U %D>\n"),
    ("ldap", MAIL + "result_filter = %s!\n"),
    ("ldap", MAIL + "domain = example.com\n"),
    ("ldap", MAIL + "scope = one\n"),
    ("ldap", "query_filter = (cn=*%u*)\nresult_attribute = cn\n"),
    ("ldap-bare", "search_base = uid=%u,ou=people,dc=example,dc=com\nscope = base\nquery_filter = (mail=%s)\n"
     "result_attribute = description\n"),
]  # fmt: skip


@pytest.mark.parametrize("search", range(len(SEARCHES)))
def test_ldap_answers_are_postfixs(house: House, search: int) -> None:
    place, more = SEARCHES[search]
    path = house.folder / "ldap.cf"
    path.write_text(house.places[place] + more)
    real, ours = both(house, f"ldap:{path}", PEOPLE)
    assert real == ours
    assert ours[0] == "0"


@pytest.mark.parametrize(
    ("place", "more", "key"),
    [
        ("ldap", MAIL + "special_result_attribute = member\n", "loop@example.com"),
        ("ldap", MAIL + "special_result_attribute = member\nrecursion_limit = 1\n", "group@example.com"),
        ("ldap", MAIL + "special_result_attribute = member\nexpansion_limit = 2\n", "group@example.com"),
        ("ldap", "query_filter = (uid=*)\nresult_attribute = cn\nsize_limit = 1\n", "x"),
        ("ldap", "query_filter = (uid=*\n", "x"),
        ("ldap", MAIL + "bind_dn = cn=admin,dc=example,dc=com\nbind_pw = wrong\n", "joe@example.com"),
        ("ldap-bare", MAIL + "search_base = dc=nosuch\n", "joe@example.com"),
        ("ldap-bare", MAIL + "search_base = ou=%d,dc=com\n", "joe@example.com"),
        ("ldap", MAIL + "scope = two\nversion = 7\ndereference = 9\ncache = yes\ncache_size = 3\n", "joe@example.com"),
    ],
)
def test_ldap_failures_are_postfixs(house: House, place: str, more: str, key: str) -> None:
    path = house.folder / "ldap.cf"
    path.write_text(house.places[place] + more)
    real, ours = both(house, f"ldap:{path}", key, one_key=True)
    assert real == ours


@pytest.mark.parametrize("place", ["memcache", "memcache-socket"])
def test_memcache_answers_are_postfixs(house: House, place: str) -> None:
    source = house.folder / "backup"
    source.write_text("a@b first\nc@d second\n")
    path = house.folder / f"{place}.cf"
    path.write_text(house.places[place] + f"key_format = {place}:%s\nbackup = texthash:{source}\n")
    without = house.folder / "without.cf"
    without.write_text(house.places[place] + f"key_format = {place}:%s\n")
    keys = "a@b\nA@B\nnone\nwith blank\n\n"
    real, ours = both(house, f"memcache:{without}", keys)
    assert (real, ours[1]) == (ours, "")
    # Postfix fills the cache, and both find it there without the backup; so the other way round.
    real, ours = both(house, f"memcache:{path}", keys)
    assert (real, ours[1]) == (ours, "a@b\tfirst\nA@B\tfirst\n")
    real, ours = both(house, f"memcache:{without}", keys)
    assert (real, ours[1]) == (ours, "a@b\tfirst\nA@B\tfirst\n")
    ran = subprocess.run(
        [str(COMMANDS / "postmap"), "-c", str(house.folder), "-q", "c@d", f"memcache:{path}"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert ran.stdout == b"second\n"
    real, ours = both(house, f"memcache:{without}", "c@d\n")
    assert (real, ours[1]) == (ours, "c@d\tsecond\n")
    for command in (POSTFIX, COMMANDS / "postmap"):
        gone = subprocess.run([str(command), "-c", str(house.folder), "-d", "a@b", f"memcache:{without}"], check=False)
        assert gone.returncode == (0 if command == POSTFIX else 1)


@pytest.mark.parametrize("kind", ["mysql", "pgsql", "sqlite", "ldap", "memcache"])
def test_parameters_may_stand_in_main_cf(house: House, kind: str) -> None:
    more = {"ldap": MAIL, "memcache": "backup = static:joe@host.example\n"}.get(kind, BY_KEY)
    lines = [f"users_{line}" for line in (house.places[kind] + more).splitlines()]
    (house.folder / "old").mkdir(exist_ok=True)
    (house.folder / "old" / "main.cf").write_text("compatibility_level=3.6\n" + "\n".join(lines) + "\n")
    old = House(house.folder / "old", {})
    real, ours = both(old, f"{kind}:users", "joe@example.com\n")
    assert (real, ours[1]) == (ours, "joe@example.com\tjoe@host.example\n")


@pytest.mark.parametrize("kind", ["mysql", "pgsql", "sqlite", "ldap"])
@pytest.mark.parametrize("option", ["-s", "-d", "-i", ""])
def test_what_cannot_be_done_is_refused_alike(house: House, kind: str, option: str) -> None:
    more = {"ldap": MAIL}.get(kind, BY_KEY)
    path = house.folder / "refuse.cf"
    path.write_text(house.places[kind] + more)
    results = []
    for command in (POSTFIX, COMMANDS / "postmap"):
        words = {"-d": ["-d", "x"], "": []}.get(option, [option])
        done = subprocess.run(
            [str(command), "-c", str(house.folder), *words, f"{kind}:{path}"],
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        results.append((done.returncode, done.stdout, done.stderr))
    assert results[0] == results[1]
