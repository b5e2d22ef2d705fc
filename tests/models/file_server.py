"""A file server on 127.0.0.1 for the download tests: it serves ranges and misbehaves on request."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """Serves `files` (path → bytes) and logs each request.

    `plan` says what the next requests get, one dict a request (empty: behave):
        status: answer with this code        redirect: answer 302 to this address
        cut: close after so many bytes       stall: seconds to wait before the body
        announce: lie about Content-Length   no_length: leave Content-Length out
        ignore_range: answer 200 with all    shift: answer a range from another offset
        block_pause: seconds after each 16 KiB
    """

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.plan = files, []
        self.log = []  # (path, Range header or None, bytes of body sent)
        self.open_lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    @property
    def sent(self):
        return sum(row[2] for row in self.log)

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        with self.server.open_lock:
            act = self.server.plan.pop(0) if self.server.plan else {}
            row = [self.path, self.headers.get("Range"), 0]
            self.server.log.append(row)
        data = self.server.files.get("/" + self.path.rsplit("/", 1)[-1])
        if "redirect" in act:
            self.send_response(302)
            self.send_header("Location", act["redirect"])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if data is None or "status" in act:
            self.send_error(act.get("status", 404))
            return
        start, status = 0, 200
        if row[1] and not act.get("ignore_range"):
            start, status = int(row[1].removeprefix("bytes=").removesuffix("-")), 206
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start += act.get("shift", 0)
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if not act.get("no_length"):
            self.send_header("Content-Length", str(act.get("announce", len(data) - start)))
        self.end_headers()
        time.sleep(act.get("stall", 0))
        body = data[start : start + act["cut"]] if "cut" in act else data[start:]
        for at in range(0, len(body), 1 << 14):
            block = body[at : at + (1 << 14)]
            self.wfile.write(block)
            self.wfile.flush()
            row[2] += len(block)
            time.sleep(act.get("block_pause", 0))
