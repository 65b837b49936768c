"""A gRPC-Web client: web.py URL METHOD [ID [REMOTE [BRANCH]]], over HTTP/1.1.
Prints each message as "message ID REMOTE BRANCH", then the trailers."""
import struct
import sys
import urllib.request


def field(n, s):
    b = s.encode()
    return bytes([n << 3 | 2]) + varint(len(b)) + b if b else b""


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def fields(b):
    got = {1: "", 2: "", 3: ""}
    i = 0
    while i < len(b):
        n, shift, size = b[i] >> 3, 0, 0
        i += 1
        while True:
            size |= (b[i] & 127) << shift
            shift += 7
            i += 1
            if b[i - 1] < 128:
                break
        got[n] = b[i:i + size].decode()
        i += size
    return got


args = sys.argv[3:] + [""] * 3
body = field(1, args[0]) + field(2, args[1]) + field(3, args[2])
request = urllib.request.Request(
    f"{sys.argv[1]}/grpc.service.echo.Echo/{sys.argv[2]}",
    data=struct.pack(">BI", 0, len(body)) + body,
    headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"})
with urllib.request.urlopen(request, timeout=20) as answer:
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    data = answer.read()
while data:
    flag, size = struct.unpack(">BI", data[:5])
    payload, data = data[5:5 + size], data[5 + size:]
    if flag & 0x80:
        print(payload.decode().replace("\r\n", "\n"), end="")
    else:
        got = fields(payload)
        print("message", got[1], got[2], got[3])
