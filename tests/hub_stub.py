"""A Hub on loopback: what `huggingface_hub` needs of one to make a repository and commit to it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OID = "1" * 40


class HubStub(ThreadingHTTPServer):
    """Keeps commits in memory: `commits` has a dictionary of path to content for each.

    Args:
        refuses_commits: whether it fails where a commit is made, as a Hub that is down or full.
    """

    def __init__(self, refuses_commits: bool = False):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refuses_commits = refuses_commits
        self.repositories: list[str] = []
        self.large_files: dict[str, bytes] = {}
        self.commits: list[dict[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: HubStub

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/api/repos/create":
            name = f"{body['organization']}/{body['name']}" if body.get("organization") else body["name"]
            self.server.repositories.append(name)
            self._answer({"url": f"{self.server.url}/{name}", "name": name})
        elif "/preupload/" in self.path:
            large = {True: "lfs", False: "regular"}
            files = [
                {
                    "path": file["path"],
                    "uploadMode": large[file["path"].endswith((".safetensors", ".onnx"))],
                    "shouldIgnore": False,
                }
                for file in body["files"]
            ]
            self._answer({"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**item, "actions": {"upload": {"href": f"{self.server.url}/upload/{item['oid']}"}}}
                for item in body["objects"]
            ]
            self._answer({"objects": objects, "transfer": "basic"})
        elif "/commit/" in self.path:
            self._commit()
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        else:
            self._answer({}, 404)

    def do_PUT(self) -> None:
        self.server.large_files[self.path.rsplit("/", 1)[1]] = self._raw()
        self._answer({})

    def do_GET(self) -> None:
        self._answer({"id": "somebody/model", "sha": "0" * 40, "siblings": []})

    def _commit(self) -> None:
        if self.server.refuses_commits:
            self._answer({"error": "the disk is full"}, 507)
            return
        files = {}
        for line in map(json.loads, self._text.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large_files[value["oid"]]
        self.server.commits.append(files)
        repository = self.path.removeprefix("/api/models/").split("/commit/")[0]
        url = f"{self.server.url}/{repository}/commit/{OID}"
        self._answer({"success": True, "commitOid": OID, "commitUrl": url})

    def _raw(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _body(self) -> dict:
        self._text = self._raw().decode()
        return json.loads(self._text) if self._text.startswith("{") and "/commit/" not in self.path else {}

    def _answer(self, body: dict, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hub_stub(refuses_commits: bool = False) -> Iterator[HubStub]:
    """A Hub that is there while the context lasts."""
    server = HubStub(refuses_commits)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
