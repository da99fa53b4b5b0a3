"""A POP3 listener from its configuration.

Errors: ConfigError from the parameters.
"""

import ssl
from collections.abc import Callable

from posthouse.access.clients import Clients
from posthouse.access.login import Login
from posthouse.access.pop3.elsewhere import StartChild, serve_elsewhere
from posthouse.access.pop3.service import OpenAccount, Pop3Service
from posthouse.access.pop3.session import serve_here
from posthouse.access.pop3.settings import Pop3dSettings
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.dns.hosts import HostsFile
from posthouse.dns.resolver import Resolver
from posthouse.host.log import ProcessLog


def open_pop3_service(
    configuration: Configuration,
    *,
    login: Login,
    open_account: OpenAccount,
    log: ProcessLog,
    name: str,
    start_child: StartChild | None = None,
    resolver: Resolver | None = None,
    hosts: HostsFile | None = None,
    tls_context: ssl.SSLContext | None = None,
    apop: Callable[[], bool] = lambda: False,
    clients: Clients | None = None,
) -> Pop3Service:
    """The service of one listener. `configuration` has the master.cf line's -o settings, `name` is its first field.

    start_child: None where every account is served in this process. clients: shared by a worker's listeners.
    """
    settings = read_settings(Pop3dSettings, configuration)
    serve = serve_here(open_account, settings, log)
    if start_child is not None:
        serve = serve_elsewhere(start_child, serve, settings, log)
    service = Pop3Service(
        settings=settings,
        login=login,
        serve=serve,
        log=log,
        name=name,
        resolver=resolver,
        hosts=hosts,
        tls_context=tls_context,
        apop=apop,
    )
    if clients is not None:
        service.clients = clients
    return service
