"""A Hub on loopback: what `huggingface_hub` needs of one to make a repository and commit to it."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HubStub(ThreadingHTTPServer):
    """Keeps commits in memory, each as a dictionary of path to content, or fails where one is made."""

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
        text = self._read().decode()
        if "/commit/" in self.path:
            self._commit(text)
            return
        body = json.loads(text)
        if self.path == "/api/repos/create":
            name = f"{body['organization']}/{body['name']}" if body.get("organization") else body["name"]
            self.server.repositories.append(name)
            self._answer({"url": f"{self.server.url}/{name}", "name": name})
        elif "/preupload/" in self.path:
            for file in body["files"]:
                is_large = file["path"].endswith((".safetensors", ".onnx"))
                file |= {"uploadMode": "lfs" if is_large else "regular", "shouldIgnore": False}
            self._answer({"files": body["files"]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            for item in body["objects"]:
                item["actions"] = {"upload": {"href": f"{self.server.url}/upload/{item['oid']}"}}
            self._answer({"objects": body["objects"], "transfer": "basic"})
        else:
            self._answer({"errors": [], "warnings": []}, 200 if self.path == "/api/validate-yaml" else 404)

    def do_PUT(self) -> None:
        self.server.large_files[self.path.rsplit("/", 1)[1]] = self._read()
        self._answer({})

    def do_GET(self) -> None:
        self._answer({"id": "somebody/model", "sha": "0" * 40, "siblings": []})

    def _commit(self, text: str) -> None:
        if self.server.refuses_commits:
            self._answer({"error": "the disk is full"}, 507)
            return
        files = {}
        for line in map(json.loads, text.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large_files[value["oid"]]
        self.server.commits.append(files)
        repository = self.path.removeprefix("/api/models/").split("/commit/")[0]
        url = f"{self.server.url}/{repository}/commit/{'1' * 40}"
        self._answer({"success": True, "commitOid": "1" * 40, "commitUrl": url})

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

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
    with HubStub(refuses_commits) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def hub_environment(url: str) -> dict[str, str]:
    """What a process needs to take the stub for the Hub."""
    return {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_nobody", "HF_HUB_DISABLE_XET": "1"}
