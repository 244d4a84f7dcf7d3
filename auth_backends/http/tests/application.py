"""A web application with accounts, in a process of its own; some users make it misbehave."""

import hmac
import json
import os
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECRET = "a secret between the two"

ACCOUNTS = {}
FIGURES = {"connections": 0, "requests": 0}
LOCK = threading.Lock()


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        FIGURES["connections"] += 1
        super().setup()

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        FIGURES["requests"] += 1
        known = hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {SECRET}")
        operation = self.path.removeprefix("/xmpp/")
        if not known:
            self.answer(b"{}", 401)
        elif question.get("user", "") in FAULTS:
            FAULTS[question["user"]](self)
        elif operation not in OPERATIONS or question.get("host") != "capulet.example":
            self.answer(b"<h1>Not found</h1>", 404)
        else:
            with LOCK:
                answer = OPERATIONS[operation](question)
            self.answer(json.dumps(answer).encode())

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


# What it should do


def check_password(question):
    return {"result": ACCOUNTS.get(question["user"]) == question["password"]}


def user_exists(question):
    return {"result": question["user"] in ACCOUNTS}


def set_password(question):
    if question["user"] not in ACCOUNTS:
        return {"result": False, "reason": "not-found"}
    if question["password"] == "guessed":
        return {"result": False, "reason": "bad-password"}
    ACCOUNTS[question["user"]] = question["password"]
    return {"result": True}


def create_user(question):
    if question["user"] in ACCOUNTS:
        return {"result": False, "reason": "exists"}
    ACCOUNTS[question["user"]] = question["password"]
    return {"result": True}


def remove_user(question):
    if ACCOUNTS.pop(question["user"], None) is None:
        return {"result": False, "reason": "not-found"}
    return {"result": True}


def users(question):
    found = sorted(name for name in ACCOUNTS if name > question["after"])
    return {"users": found[: question["limit"]]}


def count_users(question):
    return {"count": len(ACCOUNTS)}


def figures(question):
    return FIGURES


OPERATIONS = {
    function.__name__: function
    for function in (
        *(check_password, user_exists, set_password, create_user, remove_user),
        *(users, count_users, figures),
    )
}


# What it should not


def hang(handler):
    time.sleep(600)


def drip(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "600")
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b" ")
        time.sleep(0.1)


def cut(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "17")
    handler.end_headers()
    handler.wfile.write(b'{"result": true}')
    handler.close_connection = True


def go(handler):
    handler.close_connection = True


def answer_and_go(handler):
    """As servers do whose patience with idle connections is over just then."""
    handler.answer(b'{"result": true}')
    handler.close_connection = True


def answer_twice(handler):
    handler.answer(b'{"result": false}')
    # So that it is not read with the first one.
    time.sleep(0.1)
    handler.answer(b'{"result": true}')


def die(handler):
    os._exit(1)


def say(body, status=200, **headers):
    return lambda handler: handler.answer(body, status, **headers)


FAULTS = {
    "hangs": hang,
    "drips": drip,
    "cuts": cut,
    "goes": go,
    "answers-and-goes": answer_and_go,
    "answers-twice": answer_twice,
    "dies": die,
    "huge": say(b'{"result": true, "x": "' + b"x" * (2 << 20) + b'"}'),
    "deep": say(b"[" * 100_000),
    "text": say(b"true"),
    "list": say(b'["result", true]'),
    "no-result": say(b"{}"),
    "one": say(b'{"result": 1}'),
    "yes": say(b'{"result": "true"}'),
    "no-reason": say(b'{"result": false, "reason": "rain"}'),
    "bad-users": say(b'{"users": ["a", 7]}'),
    "packed": say(b'{"result": true}', Content_Encoding="gzip"),
    "redirects": say(b'{"result": true}', 307, Location="/xmpp/check_password"),
    "moved": say(b'{"result": true}', 301, Location="http://127.0.0.1:1/"),
    **{
        f"s{status}": say(b'{"result": true}', status) for status in (204, 403, 404, 429, 500, 503)
    },
    "many-headers": say(b'{"result": true}', **{f"x_{n}": "x" for n in range(200)}),
    "long-header": say(b'{"result": true}', x="x" * 70_000),
}


def main():
    port_file, *certificate = map(Path, sys.argv[1:])
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Application)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    ACCOUNTS.update(json.loads(os.environ.get("ACCOUNTS", "{}")))
    draft = port_file.with_suffix(".draft")
    draft.write_text(str(server.server_address[1]))
    draft.rename(port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
