"""Opens idle, logged-in clients and says what memory a process has before and with them.

    idle_clients.py PORT PID plain|tls COUNT...

Prints a line for each COUNT: how many clients, the process's resident memory in KiB with them, and
the bytes that one of them costs beyond the first ten, which pay for what all share. They log in as
`nopass`, one after the other, and say nothing more.
"""

import resource
import socket
import ssl
import struct
import sys

PROTOCOL_41 = 1 << 9
SSL = 1 << 11
TRANSACTIONS = 1 << 13
SECURE_CONNECTION = 1 << 15
PLUGIN_AUTH = 1 << 19
CAPABILITIES = PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH
UTF8MB4_GENERAL_CI = 45
SHARED = 10


def read_exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise SystemExit("lagwise closed the connection")
        data += more
    return data


def read_packet(stream):
    header = read_exactly(stream, 4)
    return header[3], read_exactly(stream, int.from_bytes(header[:3], "little"))


def write_packet(stream, seq, payload):
    stream.sendall(len(payload).to_bytes(3, "little") + bytes([seq]) + payload)


def connect(port, tls):
    stream = socket.create_connection(("127.0.0.1", port))
    read_packet(stream)
    seq, capabilities = 1, CAPABILITIES | (SSL if tls else 0)
    head = struct.pack("<IIB23x", capabilities, 1 << 24, UTF8MB4_GENERAL_CI)
    if tls:
        write_packet(stream, seq, head)
        stream = tls.wrap_socket(stream)
        seq += 1
    write_packet(stream, seq, head + b"nopass\0" + b"\0" + b"caching_sha2_password\0")
    _, answer = read_packet(stream)
    if answer[:1] != b"\0":
        raise SystemExit(f"login: {answer!r}")
    return stream


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def main():
    port, pid, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    counts = [int(count) for count in sys.argv[4:]]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    tls = None
    if kind == "tls":
        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    clients = [connect(port, tls) for _ in range(SHARED)]
    before = resident_kib(pid)
    for count in counts:
        while len(clients) < count:
            clients.append(connect(port, tls))
        now = resident_kib(pid)
        each = (now - before) * 1024 // (count - SHARED)
        print(f"{kind} {count} {now} {each}", flush=True)


main()
