"""A policy server (SMTPD_POLICY_README of Postfix) that answers every request alike and keeps what it was asked."""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class PolicyServer:
    """The server; start() serves it."""

    action: str = "DUNNO"
    requests: list[dict[str, str]] = field(default_factory=list)

    async def start(self, port: int = 0) -> asyncio.Server:
        """Listen on loopback; the caller closes it."""
        return await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request: dict[str, str] = {}
        try:
            while line := await reader.readline():
                name, equals, value = line.decode("utf-8", "replace").rstrip("\n").partition("=")
                if equals:
                    request[name] = value
                    continue
                self.requests.append(request)
                request = {}
                writer.write(f"action={self.action}\n\n".encode())
        except ConnectionError:
            pass  # The instance was killed.
        finally:
            writer.close()
