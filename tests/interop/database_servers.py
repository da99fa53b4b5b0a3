"""Private database servers for the tables that ask one: MariaDB, PostgreSQL, slapd, memcached, from Debian's packages.

Each keeps everything in a folder of its own, runs as nobody where the tests run as root, listens on a Unix socket and
on a free port of loopback, and ends when its block does.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.free_port import free_port
from tests.system.machine import eventually

NOBODY = 65534
MARIADB = shutil.which("mariadbd", path="/usr/sbin:/usr/bin")
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)
SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/bin")
MEMCACHED = shutil.which("memcached", path="/usr/sbin:/usr/bin")
START_SECONDS = 30.0
SCHEMAS = "/etc/ldap/schema"
LDAP_MODULES = "/usr/lib/ldap"


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs."""

    socket: Path
    port: int
    process: "subprocess.Popen[bytes]"


def identity() -> dict[str, int]:
    """Popen's arguments that drop root."""
    return {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}


def own(folder: Path) -> Path:
    """A folder that the server's user owns and everybody may enter."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    return folder


@contextmanager
def running(folder: Path, command: Sequence[str | Path], path: Path, port: int, *, stop: int) -> Iterator[Server]:
    """The command, from when its socket answers until the block ends."""
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, **identity(),
        )  # fmt: skip
    try:
        eventually(lambda: process.poll() is not None or answers(path, port), "server", START_SECONDS)
        assert process.poll() is None, (folder / "output").read_text(errors="replace")[-2000:]
        yield Server(path, port, process)
    finally:
        process.send_signal(stop)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(path: Path, port: int) -> bool:
    """Whether both places take connections."""
    for family, place in ((socket.AF_UNIX, str(path)), (socket.AF_INET, ("127.0.0.1", port))):
        with socket.socket(family) as probe:
            try:
                probe.connect(place)
            except OSError:
                return False
    return True


def once(command: Sequence[str | Path], folder: Path, text: str = "") -> None:
    """Run a preparation to its end, as the server's user."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, check=False, timeout=60, **identity(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


@contextmanager
def mariadb(folder: Path, sql: str, arguments: Sequence[str] = ()) -> Iterator[Server]:
    """MariaDB after these statements; the grant tables are made by hand, which is quicker than the installer."""
    assert MARIADB is not None
    data = own(folder / "data")
    path, port = own(folder / "run") / "mysql.sock", free_port()
    tables = "".join(
        Path("/usr/share/mysql", name).read_text() + "\n"
        for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
    )
    common = [
        *(MARIADB, "--no-defaults", f"--datadir={data}", "--innodb-log-file-size=4M", "--skip-log-bin"),
        *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=8M", "--innodb-use-native-aio=0"),
    ]
    once([*common, "--bootstrap"], data, f"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n{tables}")
    start = folder / "start.sql"
    start.write_text(sql)
    command = [*common, f"--socket={path}", f"--port={port}", "--bind-address=127.0.0.1", f"--init-file={start}",
               f"--pid-file={data}/pid", "--skip-name-resolve", *arguments]  # fmt: skip
    with running(data, command, path, port, stop=signal.SIGTERM) as server:
        yield server


@contextmanager
def postgres(folder: Path, sql: str, arguments: Sequence[str] = ()) -> Iterator[Server]:
    """PostgreSQL after these statements, which run in database `postgres` as user `owner`."""
    assert POSTGRES is not None
    data = own(folder / "data")
    run, port = own(folder / "run"), free_port()
    once([POSTGRES.parent / "initdb", "-D", data, "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync",
          "--no-instructions"], data)  # fmt: skip
    (data / "pg_hba.conf").write_text("local all owner trust\nlocal all all md5\nhost all all 127.0.0.1/32 md5\n")
    single = [POSTGRES, "--single", "-j", "-D", data, "postgres"]
    once(single, data, sql.replace(";\n", ";\n\n"))
    command = [POSTGRES, "-D", data, "-p", port, "-k", run, "-h", "127.0.0.1", "-F", *arguments]
    # Postfix's `unix:` names a folder and no port, so the socket is there under the usual port's name as well.
    (run / ".s.PGSQL.5432").symlink_to(run / f".s.PGSQL.{port}")
    with running(data, command, run / f".s.PGSQL.{port}", port, stop=signal.SIGINT) as server:
        yield server


@contextmanager
def slapd(folder: Path, ldif: str, extra: str = "") -> Iterator[Server]:
    """OpenLDAP's server with these entries under dc=example,dc=com; the root entry's password is "secret"."""
    assert SLAPD is not None
    data = own(folder / "data")
    run, port = own(folder / "run"), free_port()
    path = run / "ldapi"
    module = next(Path(LDAP_MODULES).glob("back_mdb*.so*"), None)
    (folder / "slapd.conf").write_text(
        "".join(f"include {SCHEMAS}/{name}.schema\n" for name in ("core", "cosine", "inetorgperson", "nis", "misc"))
        + (f"modulepath {LDAP_MODULES}\nmoduleload back_mdb\n" if module else "")
        + f"pidfile {data}/pid\nallow bind_v2\n{extra}\n"
        f'database mdb\nmaxsize 67108864\nsuffix "dc=example,dc=com"\nrootdn "cn=admin,dc=example,dc=com"\n'
        f"rootpw secret\ndirectory {data}\nindex objectClass eq\ndbnosync\n"
    )
    conf = folder / "slapd.conf"
    once(["/usr/sbin/slapadd", "-q", "-f", conf], data, ldif)
    command = [SLAPD, "-d", "0", "-f", conf, "-h", f"ldap://127.0.0.1:{port} ldapi://{str(path).replace('/', '%2F')}"]
    with running(data, command, path, port, stop=signal.SIGTERM) as server:
        yield server


@contextmanager
def memcached(folder: Path) -> Iterator[Server]:
    """memcached on a port; it takes either a port or a socket, so the "socket" is a second one's."""
    assert MEMCACHED is not None
    run, port = own(folder / "run"), free_port()
    path = run / "memcached"
    asked = ["-u", "nobody"] if os.geteuid() == 0 else []
    other = subprocess.Popen(
        [MEMCACHED, "-s", str(path), "-a", "777", "-m", "8", *asked], cwd=run, stdin=subprocess.DEVNULL, **identity()
    )
    try:
        with running(run, [MEMCACHED, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "8", *asked], path, port,
                     stop=signal.SIGTERM) as server:  # fmt: skip
            yield server
    finally:
        other.terminate()
        other.wait(10)
