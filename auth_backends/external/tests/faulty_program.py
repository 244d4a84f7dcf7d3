#!/usr/bin/env python3
"""A program that does what the name of the user says; its argument is a file for notes."""

import os
import signal
import struct
import subprocess
import sys
import time

YES, NO = struct.pack(">HH", 2, 1), struct.pack(">HH", 2, 0)
notes = open(sys.argv[1], "a", buffering=1)  # noqa: SIM115


def say(octets):
    sys.stdout.buffer.write(octets)
    sys.stdout.buffer.flush()


def read():
    header = sys.stdin.buffer.read(2)
    if len(header) < 2:
        sys.exit(0)
    return sys.stdin.buffer.read(struct.unpack(">H", header)[0])


notes.write(f"start {os.getpid()}\n")
if "ignore-term" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "die-at-once" in sys.argv:
    sys.exit(3)
if "speak-at-once" in sys.argv:
    say(b"Welcome!\n")
if "show-surroundings" in sys.argv:
    names = " ".join(sorted(os.environ))
    files = sorted(map(int, os.listdir("/proc/self/fd")))
    notes.write(f"environment {names}\nfiles {len(files)}\ncwd {os.getcwd()}\n")
while True:
    request = read()
    operation, user, host, *password = request.decode().split(":", 3)
    notes.write(f"{os.getpid()} {operation} {user}\n")
    match user:
        case "hang":
            time.sleep(600)
        case "hang-in-child":
            child = subprocess.Popen(["sleep", "600"])
            notes.write(f"grandchild {child.pid}\n")
            child.wait()
        case "die":
            sys.exit(7)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "answer-and-die":
            say(YES)
            sys.exit(0)
        case "close":
            os.close(1)
            time.sleep(600)
        case "twice":
            say(YES + YES)
        case "twice-later":
            say(YES)
            time.sleep(0.05)
            say(YES)
        case "too-long":
            say(struct.pack(">H", 3) + b"\0\1\1")
        case "text":
            say(b"1\n")
        case "two":
            say(struct.pack(">HH", 2, 2))
        case "half":
            say(YES[:3])
            sys.exit(0)
        case "bit-by-bit":
            for octet in YES:
                say(bytes([octet]))
                time.sleep(0.01)
        case "flood":
            say(b"\0" * 1_000_000)
        case "slow-answer":
            while not os.path.exists(f"{sys.argv[1]}.go"):
                time.sleep(0.005)
            say(YES)
        case "complain":
            sys.stderr.write("bad \x1b[31mred\x07 line\rwith \u202e more\n" + "x" * 3000 + "\nend")
            sys.stderr.flush()
            say(NO)
        case "complain-without-end":
            sys.stderr.write("woe\n" * 10_000)
            sys.stderr.flush()
            say(NO)
        case "prince":
            say(NO)  # he is somebody else's
        case _:
            say(YES if password in ([], ["R0m30 & Juliet"]) else NO)
