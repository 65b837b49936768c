#!/usr/bin/env python3
"""blockdev.py FILE IMAGE LOG: FILE as a disk that remembers what it was told.

FILE becomes a file of IMAGE's size and content, in user space, to be put under
a loop device.  Every write and every flush goes to LOG, in order, so that the
disk can be rebuilt as it would be after a power cut anywhere: dm-log-writes for
kernels without a device mapper.  Says "ready"; ends when FILE is unmounted.
A record of LOG: offset, length (both 8 bytes), data; a flush has offset -1.
"""
import ctypes, errno, os, struct, sys

path, image, log = sys.argv[1:4]
disk = bytearray(open(image, "rb").read())
out = open(log, "wb", buffering=0)
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
MAX_WRITE = 131072
open(path, "ab").close()
if libc.mount(b"blockdev", path.encode(), b"fuse", 6, f"fd={fd},rootmode=100600,user_id=0,group_id=0".encode()) != 0:
    sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")


def attr():
    return struct.pack("<QII6Q10I", 3600, 0, 0, 1, len(disk), len(disk) // 512, 0, 0, 0, 0, 0, 0,
                       0o100600, 1, 0, 0, 0, 4096, 0)


def answer(unique, data=b"", error=0):
    try:
        os.write(fd, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)
    except OSError as e:
        if e.errno != errno.ENOENT:	# nobody waits for it any more
            raise


print("ready", flush=True)
while True:
    try:
        q = os.read(fd, MAX_WRITE + 8192)
    except OSError as e:
        if e.errno == errno.ENODEV:
            break
        if e.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
            continue
        raise
    _, op, unique = struct.unpack_from("<IIQ", q)
    body = q[40:]
    if op == 26:	# INIT
        answer(unique, struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 1 | 1 << 5 | 1 << 22, 16, 12,
                                   MAX_WRITE, 1, MAX_WRITE // 4096, 0, 0, *[0] * 7))
    elif op in (3, 4):	# GETATTR, SETATTR
        answer(unique, attr())
    elif op == 14:	# OPEN
        answer(unique, struct.pack("<QII", 1, 0, 0))
    elif op == 15:	# READ
        _, at, size = struct.unpack_from("<QQI", body)
        answer(unique, bytes(disk[at:at + size]))
    elif op == 16:	# WRITE
        _, at, size = struct.unpack_from("<QQI", body)
        data = body[40:40 + size]
        disk[at:at + size] = data
        out.write(struct.pack("<qQ", at, size) + data)
        answer(unique, struct.pack("<II", size, 0))
    elif op == 20:	# FSYNC
        out.write(struct.pack("<qQ", -1, 0))
        answer(unique)
    elif op in (18, 25):	# RELEASE, FLUSH of a descriptor
        answer(unique)
    elif op == 17:	# STATFS
        answer(unique, struct.pack("<5Q4I6I", 0, 0, 0, 0, 0, 4096, 255, 4096, 0, *[0] * 6))
    elif op not in (2, 36, 42):	# FORGET, INTERRUPT want no answer
        answer(unique, error=errno.ENOSYS)
