#!/usr/bin/env python3
"""A git server for tests: git http-backend below ROOT, on a free port.

usage: githttpd.py ROOT PORTFILE LOG [OTHER [CERT KEY]]	CERT, KEY: over TLS
The first path component says how it behaves:
  /plain/REPO    as a server should
  /auth/REPO     wants user dev, password s3cret
  /500/REPO      answers 503;  /429/REPO  answers 429
  /slow/REPO     one byte a second, for ever
  /mute/REPO     takes the request and says nothing
  /redir/REPO    redirects to OTHER/auth/REPO; /redirplain to OTHER/plain/REPO
Each request is a line of LOG: method, path, and "auth" when it carries one.
"""
import base64
import http.server
import os
import ssl
import subprocess
import sys
import time

root, portfile, log = sys.argv[1:4]
other = sys.argv[4] if len(sys.argv) > 4 else ""
want = "Basic " + base64.b64encode(b"dev:s3cret").decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def plain(self, code, text=b"", **headers):
        self.send_response(code)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def any(self):
        auth = self.headers.get("Authorization", "")
        with open(log, "a") as f:
            f.write(f"{self.command} {self.path}{' auth' if auth else ''}\n")
        size = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(size)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while True:
                n = int(self.rfile.readline(), 16)
                body += self.rfile.read(n)
                self.rfile.readline()
                if n == 0:
                    break
        _, how, rest = self.path.split("/", 2)
        path, _, query = rest.partition("?")
        if how in ("500", "429"):
            return self.plain(503 if how == "500" else 429, b"go away")
        if how in ("redir", "redirplain"):
            to = "auth" if how == "redir" else "plain"
            return self.plain(302, Location=f"{other}/{to}/{rest}")
        if how == "mute":
            time.sleep(600)
        if how == "slow":
            self.send_response(200)
            self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(b"0")
                    self.wfile.flush()
                    time.sleep(1)
            except OSError:
                return None
        if how == "auth" and auth != want:
            return self.plain(401, b"who are you", WWW_Authenticate='Basic realm="git"')
        env = dict(
            os.environ,
            GIT_PROJECT_ROOT=root,
            GIT_HTTP_EXPORT_ALL="1",
            PATH_INFO="/" + path,
            QUERY_STRING=query,
            REQUEST_METHOD=self.command,
            CONTENT_TYPE=self.headers.get("Content-Type", ""),
            CONTENT_LENGTH=str(len(body)),
            GIT_CONFIG_COUNT="1",
            GIT_CONFIG_KEY_0="safe.directory",
            GIT_CONFIG_VALUE_0="*",
        )
        if self.headers.get("Content-Encoding"):
            env["HTTP_CONTENT_ENCODING"] = self.headers["Content-Encoding"]
        done = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, env=env)
        head, _, out = done.stdout.partition(b"\r\n\r\n")
        code, headers = 200, {}
        for line in head.decode().split("\r\n"):
            k, _, v = line.partition(": ")
            if k == "Status":
                code = int(v.split()[0])
            elif k:
                headers[k.replace("-", "_")] = v
        return self.plain(code, out, **headers)

    do_GET = do_POST = any


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
if len(sys.argv) > 6:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[5], sys.argv[6])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
with open(portfile + ".tmp", "w") as f:
    f.write(str(server.server_port))
os.rename(portfile + ".tmp", portfile)
server.serve_forever()
