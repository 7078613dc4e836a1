"""Stands before a Milvus server and does to its calls what networks and operators do: TLS, keys, busy servers, lost replies."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from tests.milvus_lite import MilvusLite

Trouble = Callable[[str, int], grpc.StatusCode | None]
"""(name of a call, how many of that name came before) -> what it fails with, after the server has done it; None: nothing."""


class Proxy(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, server: MilvusLite, *, key: str = "", trouble: Trouble = lambda name, count: None) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
        self._key, self.trouble = key, trouble
        self.calls: dict[str, int] = {}
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=[self])
        self.port = 0

    def start(self, certificate: tuple[Path, Path] | None = None) -> Proxy:
        """certificate: files of the private key and of the certificate; without them it speaks in the clear."""
        if certificate is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            key, chain = (path.read_bytes() for path in certificate)
            self.port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop(None).wait()
        self._channel.close()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        sent = dict(details.invocation_metadata)
        ask = self._channel.unary_unary(details.method)
        name = details.method.rpartition("/")[2]

        def answer(request: bytes, context: grpc.ServicerContext) -> Any:
            if self._key and sent.get("authorization") != self._key:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure, please check api key is correct")
            count = self.calls.get(name, 0)
            self.calls[name] = count + 1
            try:
                told = ask(request, timeout=60)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            if (code := self.trouble(name, count)) is not None:
                context.abort(code, "the reply was lost")
            return told

        return grpc.unary_unary_rpc_method_handler(answer)


def certificate(folder: Path) -> tuple[Path, Path]:
    """The private key and the self-signed certificate of "localhost", made by openssl."""
    key, chain = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(chain), "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return key, chain
