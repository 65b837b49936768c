"""An S3 server for tests that believes nobody: every request's Signature
Version 4 is computed anew from the bytes that came in.

s3.py PORTFILE ACCESS SECRET [REGION]

Objects live in memory.  GET /_log says what was asked, a line each;
POST /_fail?n=2 lets the next two requests fail with 503; POST /_skew?s=600 sets
the server's clock.
"""
import datetime, hashlib, hmac, os, sys, urllib.parse as up
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORTFILE, ACCESS, SECRET = sys.argv[1:4]
REGION = sys.argv[4] if len(sys.argv) > 4 else "us-east-1"
buckets, log, state = {}, [], {"fail": 0, "skew": 0}


def now():
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=state["skew"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def say(self, code, body=b"", kind="application/xml"):
        self.send_response(code)
        self.send_header("Date", now().strftime("%a, %d %b %Y %H:%M:%S GMT"))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp=None):
        return now().strftime("%a, %d %b %Y %H:%M:%S GMT")

    def send_response(self, code, message=None):  # no second Date
        self.send_response_only(code, message)

    def refuse(self, code, name, text=""):
        self.say(code, f"<Error><Code>{name}</Code><Message>{text}</Message></Error>".encode())

    def signed(self, body):
        """None when the signature is right, else why not."""
        auth = self.headers.get("Authorization", "")
        if not auth.startswith("AWS4-HMAC-SHA256 "):
            return "AccessDenied", "unsigned"
        part = dict(p.strip().split("=", 1) for p in auth[17:].split(","))
        access, day, region, service, end = part["Credential"].split("/")
        when = self.headers["x-amz-date"]
        if access != ACCESS or (region, service, end) != (REGION, "s3", "aws4_request"):
            return "InvalidAccessKeyId", part["Credential"]
        t = datetime.datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs((now() - t).total_seconds()) > 900:
            return "RequestTimeTooSkewed", "the clocks differ"
        names = part["SignedHeaders"].split(";")
        for h in self.headers:
            if h.lower().startswith("x-amz-") and h.lower() not in names:
                return "AccessDenied", h + " is not signed"
        if "host" not in names or names != sorted(names):
            return "AccessDenied", "SignedHeaders"
        said = self.headers["x-amz-content-sha256"]
        if said != hashlib.sha256(body).hexdigest():
            return "XAmzContentSHA256Mismatch", "body"
        path, _, query = self.path.partition("?")
        pairs = sorted(
            (up.quote(up.unquote(k), safe="-._~"), up.quote(up.unquote(v), safe="-._~"))
            for k, _, v in (p.partition("=") for p in query.split("&") if p)
        )
        canonical = "\n".join(
            [self.command, up.quote(up.unquote(path), safe="/-._~"), "&".join(f"{k}={v}" for k, v in pairs)]
            + [f"{n}:{' '.join(self.headers[n].split())}" for n in names]
            + ["", ";".join(names), said]
        )
        text = f"AWS4-HMAC-SHA256\n{when}\n{day}/{region}/s3/aws4_request\n" + hashlib.sha256(canonical.encode()).hexdigest()
        key = ("AWS4" + SECRET).encode()
        for step in (day, region, "s3", "aws4_request"):
            key = hmac.new(key, step.encode(), hashlib.sha256).digest()
        if hmac.new(key, text.encode(), hashlib.sha256).hexdigest() != part["Signature"]:
            return "SignatureDoesNotMatch", canonical.replace("\n", "|")
        return None

    def serve(self):
        path, _, query = self.path.partition("?")
        q = dict(up.parse_qsl(query, keep_blank_values=True))
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length or 0))
        if path == "/_log":
            return self.say(200, "".join(log).encode(), "text/plain")
        if path == "/_fail":
            state["fail"] = int(q["n"])
            return self.say(200)
        if path == "/_skew":
            state["skew"] = int(q["s"])
            return self.say(200)
        log.append(f"{self.command} {self.path}\n")
        if self.command == "PUT" and length is None:
            return self.refuse(411, "MissingContentLength")
        if state["fail"] > 0:
            state["fail"] -= 1
            return self.refuse(503, "SlowDown", "later")
        wrong = self.signed(body)
        if wrong:
            return self.refuse(403, *wrong)
        bucket, _, key = up.unquote(path).lstrip("/").partition("/")
        if self.command == "PUT" and not key:
            if bucket in buckets:
                return self.refuse(409, "BucketAlreadyOwnedByYou")
            buckets[bucket] = {}
            return self.say(200)
        if bucket not in buckets:
            return self.refuse(404, "NoSuchBucket")
        b = buckets[bucket]
        if not key:
            return self.listing(b, q)
        if self.command == "PUT":
            b[key] = body
            return self.say(200)
        if self.command == "DELETE":
            b.pop(key, None)
            return self.say(204)
        if key not in b:
            return self.refuse(404, "NoSuchKey")
        self.say(200, b[key], "application/octet-stream")

    def listing(self, b, q):
        keys = sorted(k for k in b if k.startswith(q.get("prefix", "")) and k > q.get("start-after", ""))
        most = int(q["max-keys"])
        rows = "".join(
            f"<Contents><Key>{k}</Key><LastModified>2026-11-21T09:05:00.000Z</LastModified>"
            f"<Size>{len(b[k])}</Size></Contents>"
            for k in keys[:most]
        )
        more = str(len(keys) > most).lower()
        self.say(200, f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{rows}</ListBucketResult>".encode())

    do_GET = do_PUT = do_DELETE = do_POST = serve


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(PORTFILE + ".tmp", "w") as f:
    f.write(str(server.server_port))


os.rename(PORTFILE + ".tmp", PORTFILE)
server.serve_forever()
